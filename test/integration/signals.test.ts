/** Ends a training process by a signal, an error, and a loss that is not finite. */

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Process, call, makeData, outcome, trainWords } from '../support/run-process.js';

let cwd: string;
beforeAll(async () => {
  cwd = await mkdtemp(path.join(tmpdir(), 'signals-test-'));
  await makeData(path.join(cwd, 'data'), 24, 4);
});
afterAll(async () => {
  await rm(cwd, { recursive: true });
});

describe('a signal', () => {
  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s ends the run after the step: exit code %d', async (name, code) => {
    const words = trainWords('data', name, '--epochs', '5000');
    const running = new Process(words, { cwd });
    await running.printed(/^Epoch 2\/5000 {2}train/m);
    running.child.kill(name);
    const end = await running.ended;
    expect(end).toMatchObject({ code, signal: null, stderr: '' });
    const stopped = /^Stopped after step (\d+); to go on: ort-finetune train --resume (\S+)$/m;
    const [, step, dir] = stopped.exec(end.stdout) ?? [];
    expect(dir).toBe(name);
    const { last } = await outcome(path.join(cwd, name));
    expect(String(last.run.step)).toBe(step);

    // The printed command works: it resumes the run from that step.
    const resumed = new Process(['train', '--resume', name], { cwd });
    await resumed.printed(/^Epoch \d+\/5000 {2}train/m);
    resumed.child.kill('SIGTERM');
    const again = await resumed.ended;
    expect(again.code).toBe(143);
    expect(again.stdout).toContain(`(${step ?? ''} steps done)`);
  });

  test('a second one ends the process at once and keeps everything that was saved', async () => {
    // Train on 48 images per step, which leaves enough time for a second signal.
    const words = trainWords('data', 'twice', '--epochs', '5000', '--batch-size', '48');
    const running = new Process(words, { cwd });
    await running.printed(/^Epoch 1\/5000 {2}val/m);
    running.child.kill('SIGINT');
    await running.printed(/^SIGINT: stopping/m);
    running.child.kill('SIGINT');
    const end = await running.ended;
    // The process was killed by the signal, or had already ended after the first one.
    expect([null, 130]).toContain(end.code);
    if (end.code === null) expect(end.signal).toBe('SIGINT');
    expect((await outcome(path.join(cwd, 'twice'))).last.run.epoch).toBeGreaterThanOrEqual(1);
  });

  test('before the first step', async () => {
    const running = new Process(trainWords('data', 'early', '--epochs', '2'), { cwd });
    // Node needs some tenths of a second to set up its handlers; before that, a signal kills it.
    await new Promise((resolve) => setTimeout(resolve, 150));
    running.child.kill('SIGINT');
    const end = await running.ended;
    expect([null, 130]).toContain(end.code);
    expect(end.stderr).toBe('');
  });
});

describe('an error while steps are under way', () => {
  test('a file that vanishes: its path, epoch and step; exit code 1; the run can be resumed', async () => {
    const data = await makeData(path.join(cwd, 'vanishing'), 24, 4);
    const running = new Process(trainWords(data, 'vanished', '--epochs', '5000'), { cwd });
    await running.printed(/^Epoch 1\/5000 {2}val/m);
    await rm(path.join(data, 'train', 'red', '3.png'));
    const end = await running.ended;
    expect(end).toMatchObject({ code: 1, signal: null });
    expect(end.stderr).toMatch(/^error: .*red.3\.png.*in epoch \d+, after step \d+;.*--resume/);
    await makeData(data, 24, 4);
    const resumed = new Process(['train', '--resume', 'vanished'], { cwd });
    await resumed.printed(/^Epoch \d+\/5000 {2}train/m);
    resumed.child.kill('SIGINT');
    expect((await resumed.ended).code).toBe(130);
  });

  test('a loss that is not finite: step, rate and files; exit code 1; never best', async () => {
    const end = await call(trainWords('data', 'nan', '--epochs', '50', '--lr', '1000'), { cwd });
    expect(end).toMatchObject({ code: 1, signal: null });
    expect(end.stderr).toMatch(
      /^error: expected (a finite loss, got (NaN|-?Infinity) at step \d+ \(learning rate 1000, images .*\.png\)|finite values in)/,
    );
    const names = await readdir(path.join(cwd, 'nan', 'checkpoints'));
    expect(names).toEqual(['last.safetensors']);
  });
});
