/** Holds: a run folder has one owner. Whole trainings that meet in one folder, or fail before they write. */

import { cp, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { TrainOptions } from '../../src/config/train-options.js';
import { train } from '../../src/platform/node/library.js';
import { TINY } from '../support/paths.js';
import { Process, call, makeData, outcome, trainWords, type End } from '../support/run-process.js';
import { Colours } from '../support/tiny-network.js';

let cwd: string;
beforeAll(async () => {
  cwd = await mkdtemp(path.join(tmpdir(), 'run-owner-'));
  await makeData(path.join(cwd, 'data'), 12, 4);
  await cp(path.join(cwd, 'data'), path.join(cwd, 'other'), { recursive: true });
});
afterAll(() => rm(cwd, { recursive: true }));

const names = async (dir: string): Promise<string[]> =>
  (await readdir(path.join(cwd, dir)).catch(() => ['none'])).sort();
/** Returns the words of a run without `--out`. */
const unnamed = (data: string): string[] =>
  trainWords(data, 'x', '--epochs', '1').filter((word) => word !== '--out' && word !== 'x');

describe('runs that start at once', () => {
  test('without --out: each has a folder of its own', async () => {
    const data = ['data', 'other', 'data'];
    const ends = await Promise.all(data.map((name) => call(unnamed(name), { cwd })));
    const dirs: string[] = [];
    for (const [i, { code, stdout }] of ends.entries()) {
      expect(code).toBe(0);
      const [, dir = ''] = /^Run +(\S+)$/m.exec(stdout) ?? [];
      const config = await readFile(path.join(cwd, dir, 'config.json'), 'utf8');
      expect(JSON.parse(config)).toMatchObject({ data: path.join(cwd, data[i] ?? ''), out: dir });
      expect((await outcome(path.join(cwd, dir))).metrics).toHaveLength(2);
      expect(await names(dir)).not.toContain('run.lock');
      dirs.push(dir);
    }
    expect(dirs.sort()).toEqual(
      ['runs/train-1', 'runs/train-2', 'runs/train-3'].map((dir) => path.normalize(dir)),
    );
  });

  test('with one --out: one of them is refused, the other goes on', async () => {
    const words = (data: string): string[] => trainWords(data, 'same', '--epochs', '1');
    const ends = await Promise.all(['data', 'other'].map((name) => call(words(name), { cwd })));
    const [won, lost] = ends.sort((a, b) => Number(a.code) - Number(b.code));
    expect(won).toMatchObject({ code: 0, stderr: '' });
    expect(lost?.stderr).toMatch(/^error: expected .*(is training in same since|same.*exists)/);
    expect((await outcome(path.join(cwd, 'same'))).metrics).toHaveLength(2);
  });

  test('in one process: refused', async () => {
    const options: TrainOptions = {
      ...{ trainDataset: new Colours(8, ['a', 'b'], 1), valDataset: new Colours(4, ['a', 'b'], 2) },
      ...{ weights: 'random', artifacts: TINY, epochs: 1, batchSize: 4, workers: 1, threads: 1 },
      device: 'cpu',
      out: path.join(cwd, 'twice'),
    };
    const first = train(options);
    await expect(train(options)).rejects.toThrow(/this process \(\d+\) is training in .*twice/);
    expect((await first).runDir).toBe(path.join(cwd, 'twice'));
    // The folder is free again, but holds a run.
    await expect(train(options)).rejects.toThrow(/exists already/);
  });
});

describe('a run under way', () => {
  let running: Process;
  let pid: number | undefined;
  beforeAll(async () => {
    running = new Process(trainWords('data', 'live', '--epochs', '5000'), { cwd });
    pid = running.child.pid;
    await running.printed(/^Epoch 2\/5000 {2}train/m);
  });

  test.each([
    ['its folder', ['--resume', 'live']],
    ['one of its checkpoints', ['--resume', 'live/checkpoints/last.safetensors']],
    ['a longer way to its folder', ['--resume', './data/../live/']],
  ])('is not resumed by %s', async (_, words) => {
    const left = path.join(cwd, 'live', 'checkpoints', '.last.safetensors.1.0a1b2c3d.tmp');
    await writeFile(left, '');
    const end: End = await call(['train', ...words], { cwd });
    expect(end).toMatchObject({ code: 1, stdout: '' });
    expect(end.stderr).toMatch(
      new RegExp(
        `^error: expected a run folder that no process is training in.* process ${pid} on`,
      ),
    );
    // Nobody has cleaned up in the folder of a live run.
    expect(await readFile(left, 'utf8')).toBe('');
  });

  test('is evaluated and exported meanwhile', async () => {
    const words = ['evaluate', '--run', 'live', '--data', 'data/val'];
    expect(await call(words, { cwd })).toMatchObject({ code: 0 });
  });

  test('that was killed is taken over with a remark, and gives its folder back when stopped', async () => {
    running.child.kill('SIGKILL');
    await running.ended;
    expect(await names('live')).toContain('run.lock');
    const resumed = new Process(['train', '--resume', 'live'], { cwd });
    await resumed.printed(/^Epoch \d+\/5000 {2}train/m);
    resumed.child.kill('SIGTERM');
    const { code, stdout } = await resumed.ended;
    expect(code).toBe(143);
    expect(stdout).toMatch(new RegExp(`live still belonged to process ${pid} on .*takes it over`));
    expect(await names('live')).not.toContain('run.lock');
  });
});

describe('a run that fails before its first step leaves no folder', () => {
  test.each([
    ['a broken image', ['train/red/bad.png', 'no image'], /bad\.png/],
    ['a class that validation alone has', ['val/green/1.png', 'no image'], /green/],
    ['an image of no bytes', ['train/blue/empty.png', ''], /empty\.png/],
  ] as const)('%s', async (_, [file, text], reason) => {
    const data = await mkdtemp(path.join(cwd, 'broken-'));
    await makeData(data, 3, 2);
    await cp(path.join(data, 'val', 'red', '0.png'), path.join(data, path.dirname(file), 'x.png'), {
      recursive: true,
    });
    await writeFile(path.join(data, file), text);
    const empty = await mkdtemp(path.join(cwd, 'empty-'));
    const { code, stderr } = await call(unnamed(data), { cwd: empty });
    expect(code).toBe(1);
    expect(stderr).toMatch(reason);
    expect(await readdir(empty)).not.toContain('runs');
  });
});

const onLinux = process.platform === 'linux' ? test : test.skip;
onLinux.each([
  ['/proc/x/run', {}, /^error: expected to make the run folder \/proc\/x\/run, failed with/],
  ['/proc/self/x', {}, /^error: expected to make the run folder/],
  ['cached', { ORT_FINETUNE_CACHE: '/proc/x/y' }, /^$/],
])('a folder that the system does not make, --out %s %j: no hang', async (out, env, expected) => {
  const words = trainWords('data', out, '--epochs', '1');
  const { code, stderr } = await call(words, { cwd, env });
  expect(stderr).toMatch(expected);
  expect(code).toBe(stderr === '' ? 0 : 1);
});
