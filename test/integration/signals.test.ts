/**
 * Ends a training process by a signal, an error, and a loss that is not finite. Holds: a signal that asks to stop leaves
 * a checkpoint, and one that is to be ignored is ignored.
 */

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { WatchedProcess } from '../support/watched-process.js';
import { CLI } from '../support/paths.js';
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
    ['SIGHUP', 129],
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

  test.each([
    ['SIGINT', 'SIGINT', 130],
    ['SIGHUP', 'SIGHUP', 129],
    ['SIGHUP', 'SIGTERM', 129],
  ] as const)(
    'a second one (%s, %s) ends the process at once and keeps everything that was saved',
    async (first, second, code) => {
      // Train on 48 images per step, which leaves enough time for a second signal.
      const out = `${first}-${second}`;
      const words = trainWords('data', out, '--epochs', '5000', '--batch-size', '48');
      const running = new Process(words, { cwd });
      await running.printed(/^Epoch 1\/5000 {2}val/m);
      running.child.kill(first);
      await running.printed(new RegExp(`^${first}: stopping`, 'm'));
      running.child.kill(second);
      const end = await running.ended;
      // The process was killed by the signal, or had already ended after the first one.
      expect([null, code]).toContain(end.code);
      if (end.code === null) expect(end.signal).toBe(second);
      expect((await outcome(path.join(cwd, out))).last.run.epoch).toBeGreaterThanOrEqual(1);
    },
  );

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

const onLinux = process.platform === 'linux' ? describe : describe.skip;

onLinux('a terminal that closes', () => {
  const settings = ['--epochs', '5000', '--save-every', '1000'];
  /** Returns a shell's words for a program with its arguments. */
  const shell = (words: readonly string[]): string => words.map((word) => `'${word}'`).join(' ');
  const lines = async (name: string): Promise<number> => {
    const text = await readFile(path.join(cwd, name, 'metrics.jsonl'), 'utf8').catch(() => '');
    return text.split('\n').length - 1;
  };
  const until = async (what: () => Promise<boolean>): Promise<void> => {
    for (let tries = 0; !(await what()); tries++) {
      if (tries > 600) throw new Error('waited for a minute');
      await sleep(100);
    }
  };

  /** Trains in a terminal of its own, and closes that once two epochs are done. Returns the time of that. */
  async function closeTerminal(out: string, before: string): Promise<number> {
    const train = shell([process.execPath, CLI, ...trainWords('data', out, ...settings)]);
    // The terminal sends the signal to its first process, and at the end of that one to all others. The inner shell
    // catches it and goes on; its child does not inherit that.
    await writeFile(
      path.join(cwd, `${out}.sh`),
      `trap : HUP\n${before}${train}\necho $? > ${out}.code\n`,
    );
    const line = `sh ${out}.sh; true`;
    const env = { ORT_FINETUNE_CACHE: path.join(cwd, 'cache') };
    const terminal = new WatchedProcess('script', ['-qc', line, '/dev/null'], { cwd, env });
    await until(async () => (await lines(out)) >= 4);
    const time = Date.now();
    terminal.child.kill('SIGKILL');
    await terminal.ended;
    return time;
  }

  test('stops the run with a checkpoint, although nothing can be printed any more', async () => {
    const time = await closeTerminal('closed', '');
    await until(async () => (await readdir(cwd)).includes('closed.code'));
    await sleep(100);
    expect(await readFile(path.join(cwd, 'closed.code'), 'utf8')).toBe('129\n');
    const { last } = await outcome(path.join(cwd, 'closed'));
    expect(last.run.epoch).toBeGreaterThanOrEqual(2);
    const { mtimeMs } = await stat(path.join(cwd, 'closed', 'checkpoints', 'last.safetensors'));
    expect(mtimeMs).toBeGreaterThan(time);
    expect(await readdir(path.join(cwd, 'closed'))).not.toContain('run.lock');
  });

  test('does not stop a run under nohup', async () => {
    await closeTerminal('kept', 'nohup ');
    const seen = await lines('kept');
    await until(async () => (await lines('kept')) >= seen + 4);
    const lock = await readFile(path.join(cwd, 'kept', 'run.lock'), 'utf8');
    process.kill((JSON.parse(lock) as { pid: number }).pid, 'SIGTERM');
    await until(async () => (await readdir(cwd)).includes('kept.code'));
    await sleep(100);
    expect(await readFile(path.join(cwd, 'kept.code'), 'utf8')).toBe('143\n');
  });

  test.each([
    [
      "a shell's trap '' HUP",
      (words: string) => ['sh', '-c', `trap '' HUP; ${words}; exit $?`],
      {},
    ],
    [
      'nohup, as the variable _ tells',
      (words: string) => ['sh', '-c', `exec ${words}`],
      { _: '/usr/bin/nohup' },
    ],
    ['nohup without a terminal', (words: string) => ['bash', '-c', `nohup ${words}`], {}],
  ] as const)('%s: SIGHUP is ignored', async (name, start, more) => {
    const out = `ignored-${name.length}`;
    const words = shell([process.execPath, CLI, ...trainWords('data', out, ...settings)]);
    const [command = '', ...rest] = start(words);
    const env = { ORT_FINETUNE_CACHE: path.join(cwd, 'cache'), ...more };
    const running = new WatchedProcess(command, rest, { cwd, env });
    await running.printed(/^Epoch 1\/5000 {2}val/m);
    const { pid } = JSON.parse(await readFile(path.join(cwd, out, 'run.lock'), 'utf8')) as {
      pid: number;
    };
    process.kill(pid, 'SIGHUP');
    await running.printed(/^Epoch 3\/5000 {2}val/m);
    process.kill(pid, 'SIGTERM');
    const { code, stdout } = await running.ended;
    expect(code).toBe(143);
    expect(stdout).not.toContain('SIGHUP');
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
