/** Holds: a run folder has one owner, and one that came to nothing leaves nothing behind. */

import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { RunFolder } from '../../../src/checkpoint/run-folder.js';
import { RunLock, claimRunDir } from '../../../src/checkpoint/run-lock.js';
import { ConfigError, TrainingError, UserError } from '../../../src/common/errors.js';

let folder: string;
let runs: string;
let count = 0;
beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'run-lock-'));
});
afterAll(() => rm(folder, { recursive: true }));
beforeEach(() => {
  runs = path.join(folder, `runs-${++count}`);
});

const CONFIG = { arch: 'resnet18', classes: ['a', 'b'] };
const there = async (): Promise<string[]> => (await readdir(runs).catch(() => ['none'])).sort();

/** Changes the owner that a run's lock names. */
async function changeOwner(dir: string, changes: object): Promise<void> {
  const file = path.join(dir, 'run.lock');
  const owner = JSON.parse(await readFile(file, 'utf8')) as object;
  await writeFile(file, JSON.stringify({ ...owner, token: 'ffffffffffffffff', ...changes }));
}

test('many claims at once get different folders', async () => {
  const locks = await Promise.all(Array.from({ length: 12 }, () => RunLock.next('train', runs)));
  const names = Array.from({ length: 12 }, (_, i) => `train-${i + 1}`);
  expect(locks.map(({ dir }) => path.basename(dir)).sort()).toEqual([...names].sort());
  await Promise.all(locks.map((lock) => lock.release()));
  expect((await there()).filter((name) => name.startsWith('train'))).toEqual([]);
});

test.each([
  ['a file', async () => writeFile(path.join(runs, 'train-7'), ''), 'train-8'],
  ['a folder', async () => mkdir(path.join(runs, 'train-3')), 'train-4'],
  ['another command', async () => mkdir(path.join(runs, 'demo-3')), 'train-1'],
])('the number after %s of that name', async (_, make, expected) => {
  await mkdir(runs);
  await make();
  const [claimed] = await claimRunDir('train', runs);
  expect(path.basename(claimed ?? '')).toBe(expected);
});

describe('a run that came to nothing', () => {
  test('leaves no folder', async () => {
    const lock = await RunLock.make(path.join(runs, 'deep', 'one'));
    await lock.release();
    expect(await there()).toEqual(['none']);
  });

  test('leaves a folder that was there', async () => {
    await mkdir(path.join(runs, 'one'), { recursive: true });
    await (await RunLock.make(path.join(runs, 'one'))).release();
    expect(await there()).toEqual(['one']);
    expect(await readdir(path.join(runs, 'one'))).toEqual([]);
  });

  test('leaves what was written', async () => {
    const lock = await RunLock.next('train', runs);
    await RunFolder.create(lock.dir, CONFIG);
    await lock.release();
    expect((await readdir(lock.dir)).sort()).toEqual(['checkpoints', 'config.json']);
  });

  test('leaves no folder of checkpoints', async () => {
    const lock = await RunLock.next('train', runs);
    await mkdir(path.join(lock.dir, 'checkpoints'));
    await lock.release();
    expect(await there()).toEqual(['none']);
  });
});

describe('refused', () => {
  test('a folder that this process is training in', async () => {
    const lock = await RunLock.next('train', runs);
    for (const again of [RunLock.take(lock.dir), RunLock.make(lock.dir)]) {
      await expect(again).rejects.toThrow(UserError);
      await expect(again).rejects.toThrow(
        new RegExp(`found that this process \\(${process.pid}\\) is training in .*train-1 since`),
      );
    }
    await lock.release();
  });

  test('one that a process of another host is training in', async () => {
    const lock = await RunLock.next('train', runs);
    await changeOwner(lock.dir, { host: 'node7', pid: 4321 });
    await expect(RunLock.take(lock.dir)).rejects.toThrow(
      /process 4321 on node7 is training in .*sign of life \d+s ago; .*free in (10m 00s|9m 5\ds)/,
    );
  });

  test('one that another run has written to since it was chosen', async () => {
    const dir = path.join(runs, 'one');
    await mkdir(dir, { recursive: true });
    await writeFile(path.join(dir, 'config.json'), '{}');
    await expect(RunLock.make(dir)).rejects.toThrow(ConfigError);
    await expect(RunLock.make(dir)).rejects.toThrow(/another run has written to/);
    expect(await readdir(dir)).toEqual(['config.json']);
  });

  test('a checkpoint of a run that another process has taken over', async () => {
    const lock = await RunLock.next('train', runs);
    await lock.check();
    await changeOwner(lock.dir, { host: 'node7', pid: 4321 });
    await expect(lock.check()).rejects.toThrow(TrainingError);
    await expect(lock.check()).rejects.toThrow(/process 4321 on node7 has taken it over/);
    await lock.release();
    expect(await readdir(lock.dir)).toEqual(['run.lock']);
  });
});

test('a killed run is taken over with a remark, and what its take-overs left goes', async () => {
  const lock = await RunLock.next('train', runs);
  const { pid } = spawnSync(process.execPath, ['-e', '']);
  await changeOwner(lock.dir, { pid });
  await writeFile(path.join(lock.dir, 'run.lock.0123456789abcdef'), '');
  const next = await RunLock.make(lock.dir);
  expect(next.remark).toMatch(new RegExp(`still belonged to process ${pid} on .*takes it over$`));
  expect(await readdir(lock.dir)).toEqual(['run.lock']);
  await next.release();
  const free = await RunLock.take(lock.dir);
  expect(free.remark).toBeNull();
  await free.release();
});

test.each([
  ['.config.json.12.0a1b2c3d.tmp', true],
  ['.report.html.12.0a1b2c3d.tmp', true],
  ['.predictions-best.safetensors.12.0a1b2c3d.tmp', true],
  ['checkpoints/.step-00000004.safetensors.12.0a1b2c3d.tmp', true],
  ['.run.lock.12.0a1b2c3d.tmp', true],
  ['.model.onnx.12.0a1b2c3d.tmp', false],
  ['.evaluation.csv.12.0a1b2c3d.tmp', false],
  ['checkpoints/.my-copy.safetensors.12.0a1b2c3d.tmp', false],
  ['config.json.tmp', false],
])('the clean-up of a run: %s is removed: %s', async (name, removed) => {
  const run = await RunFolder.create(runs, CONFIG);
  await writeFile(path.join(runs, name), '');
  await run.sweep();
  const names = await readdir(path.dirname(path.join(runs, name)));
  expect(names.includes(path.basename(name))).toBe(!removed);
});
