import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { cp, mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { clip } from '../../src/distributed/ddp-session.js';
import type { PhaseRecord } from '../../src/common/events.js';
import type { TrainerState } from '../../src/checkpoint/checkpoint.js';
import { adaptToWorldSize } from '../../src/checkpoint/resume-point.js';
import { shardLength, shardOf } from '../../src/data/sampler.js';
import { TrainSession } from '../../src/session/train-session.js';
import { openArtifacts } from '../../src/platform/node/defaults.js';
import { initialState } from '../../src/platform/node/defaults.js';
import { Job, installedLaunchers, runJob } from '../support/mpi-job.js';
import { CLASSES, WAYS, threeSteps } from '../support/rank-steps.js';
import { call, makeData, outcome, trainWords } from '../support/run-process.js';
import { ROOT, TINY, testProgram } from '../support/paths.js';
import { trainingGraph } from '../../src/session/training-graph.js';

const launchers = installedLaunchers();
const CLI = testProgram('support/mpi-cli');
let cwd: string;
let data: string;
beforeAll(async () => {
  cwd = await mkdtemp(path.join(tmpdir(), 'distributed-test-'));
  data = await makeData(path.join(cwd, 'data'), 13, 4);
});
afterAll(async () => {
  await rm(cwd, { recursive: true });
});

describe('the parts of an order', () => {
  const shards = (length: number, ranks: number, padded: boolean): number[][] => {
    const order = Uint32Array.from({ length }, (_, i) => i);
    return Array.from({ length: ranks }, (_, rank) => {
      const shard = shardOf(order, { rank, ranks }, padded);
      expect(shard.length).toBe(shardLength(length, { rank, ranks }, padded));
      return [...shard];
    });
  };

  test("are those of PyTorch's DistributedSampler, with its padding", () => {
    expect(shards(10, 4, true)).toEqual([
      [0, 4, 8],
      [1, 5, 9],
      [2, 6, 0],
      [3, 7, 1],
    ]);
    expect(shards(3, 8, true).flat()).toEqual([0, 1, 2, 0, 1, 2, 0, 1]);
    expect(shards(8, 2, true)).toEqual(shards(8, 2, false));
  });

  test('hold each sample once where there is no padding', () => {
    expect(shards(10, 4, false)).toEqual([
      [0, 4, 8],
      [1, 5, 9],
      [2, 6],
      [3, 7],
    ]);
    expect(shards(1, 3, false)).toEqual([[0], [], []]);
  });
});

test('gradients are clipped by the norm of all of them, and only down', () => {
  const gradients = Float32Array.of(3, -4);
  clip(gradients, 5.1);
  clip(gradients, Infinity);
  expect([...gradients]).toEqual([3, -4]);
  clip(gradients, 1);
  expect(gradients[0]).toBeCloseTo(0.6, 6);
  expect(gradients[1]).toBeCloseTo(-0.8, 6);
});

describe('a run resumed with another number of ranks', () => {
  const partial = { images: 0, lossSum: 0, correct: 0, seconds: 0, dataWaitSeconds: 0 };
  const under = (before: number | undefined, batch: number, now: number): unknown => {
    const warnings: string[] = [];
    const config = before === undefined ? {} : { ranks: before };
    const run = { config, partial: { ...partial, batch } } as unknown as TrainerState;
    const warn = (message: string): void => void warnings.push(message);
    const found = adaptToWorldSize(run, now, { images: 26, batchSize: 4, warn });
    return [found.partial?.batch, warnings.length];
  };

  test.each([
    ['the same number changes nothing', 2, 3, 2, [3, 0]],
    ['alone again', undefined, 3, 1, [3, 0]],
    ['from two to one: as many samples', 2, 2, 1, [4, 1]],
    ['from one to two', undefined, 4, 2, [2, 1]],
    ['a step that would be cut is taken again', undefined, 3, 2, [1, 1]],
    ['an epoch that was through still is', 2, 4, 3, [3, 1]],
    ['and with more steps an epoch', 2, 4, 1, [7, 1]],
  ])('%s', (_, before, batch, now, expected) => {
    expect(under(before, batch, now)).toEqual(expected);
  });
});

if (launchers.length === 0) {
  test.skip('ranks: mpirun is not installed (Debian: openmpi-bin, mpich)', () => undefined);
}

for (const launcher of launchers) {
  describe(`training under ${launcher.name}`, () => {
    const tag = launcher.name === 'MPICH' ? 'mpich' : 'open';
    const options = (): { cwd: string; env: Record<string, string> } => ({
      cwd,
      env: { ORT_FINETUNE_CACHE: path.join(cwd, 'cache') },
    });
    const job = (ranks: number, words: readonly string[]): Job =>
      new Job(launcher, ranks, [CLI, ...words], options());
    const out = (name: string): string => path.join(cwd, `${tag}-${name}`);
    const words = (name: string, ...more: string[]): string[] =>
      trainWords(data, out(name), '--lr', '0.02', '--epochs', '2', ...more);
    const failure = async (ranks: number, given: readonly string[]): Promise<string> => {
      const { code, stderr, seconds } = await job(ranks, given).ended;
      expect(code).not.toBe(0);
      expect(seconds).toBeLessThan(30);
      return stderr;
    };

    test.each(Object.entries(WAYS))(
      'ranks with the same batches equal one rank, to rounding, clipped gradients too: %s',
      async (way, settings) => {
        const graph = trainingGraph({ ...settings, clipGradNorm: 1 });
        const alone = await threeSteps(settings, (...given) =>
          TrainSession.create(...given, CLASSES, graph),
        );
        const given = [testProgram('long/mpi/rank'), 'steps', await mkdtemp(out('steps-')), way];
        const { stderr, code } = await runJob(launcher, 3, given);
        expect([stderr, code]).toEqual(['', 0]);
        type Found = { losses: number[]; state: Record<string, number[]> };
        const ranks = await Promise.all(
          [0, 1, 2].map(async (rank) => {
            const text = await readFile(path.join(given[2] ?? '', `${rank}.json`), 'utf8');
            return JSON.parse(text) as Found;
          }),
        );
        for (const { losses, state } of ranks) {
          expect(state).toEqual(ranks[0]?.state);
          losses.forEach((loss, i) => {
            expect(loss).toBeCloseTo(alone.losses[i] ?? NaN, 5);
          });
          for (const [name, { data: expected }] of alone.state) {
            const values = [...expected].map(Number);
            const largest = Math.max(...values.map(Math.abs), 1e-3);
            const error = values.map((value, i) => Math.abs(value - (state[name]?.[i] ?? NaN)));
            expect([name, Math.max(...error) / largest < 1e-4]).toEqual([name, true]);
          }
        }
      },
    );

    test('a frozen backbone does not change', async () => {
      const { code } = await job(2, words('frozen', '--freeze', 'backbone', '--nesterov')).ended;
      expect(code).toBe(0);
      const { state } = (await outcome(out('frozen'))).last;
      const options = { weights: 'random', classes: 2, seed: 0 };
      const { state: start } = await initialState(await openArtifacts(TINY), options);
      const moved = [...start].filter(([name, { data }]) => {
        return data.some((value, i) => value !== state.get(name)?.data[i]);
      });
      const names = ['fc.weight', 'fc.bias', 'momentum.fc.weight', 'momentum.fc.bias'];
      expect(moved.map(([name]) => name)).toEqual(names);
    });

    test('rank 0 alone prints and writes; every validation image counts once', async () => {
      const { code, stdout } = await job(3, words('whole')).ended;
      expect(code).toBe(0);
      expect(stdout.match(/^Ranks {4}3 on 1 host /gm)).toHaveLength(1);
      expect(stdout.match(/^Epoch 2\/2 {2}train .*in all-reduce/gm)).toHaveLength(1);
      const { metrics, last } = await outcome(out('whole'));
      // 3 ranks pad 26 training images to 27; the 8 validation images are not padded.
      expect(metrics.map(({ phase, images }) => [phase, images])).toEqual([
        ['train', 27],
        ['val', 8],
        ['train', 27],
        ['val', 8],
      ]);
      expect(last.run.step).toBe(6);
      const jsonl = await readFile(path.join(out('whole'), 'metrics.jsonl'), 'utf8');
      const first = JSON.parse(jsonl.split('\n')[0] ?? '') as PhaseRecord;
      expect(first.allReduceSeconds).toBeGreaterThan(0);
      expect(await readdir(path.join(out('whole'), 'checkpoints'))).toHaveLength(3);
    });

    test('npm starts ranks under Open MPI, and says why it cannot under MPICH', async () => {
      const npm = process.env.npm_execpath ?? '';
      const given = words('npm', '--epochs', '1', '--quiet');
      const before = [npm, '--prefix', ROOT, 'run', '-s', given[0] ?? '', '--'];
      const started = new Job(launcher, 2, [...before, ...given.slice(1)], options());
      const { code, stderr } = await started.ended;
      if (launcher.name === 'Open MPI') {
        expect([code, /^error/m.test(stderr)]).toEqual([0, false]);
        const { metrics } = await outcome(out('npm'));
        expect(metrics.map(({ images }) => images)).toEqual([26, 8]);
      } else {
        expect(code).not.toBe(0);
        expect(stderr).toMatch(/^error: rank 1 .*expected the launcher's connection at .* PMI_FD/m);
        await expect(readdir(out('npm'))).rejects.toThrow('ENOENT');
      }
    });

    const longer = launcher === launchers[0] ? test : test.skip;
    longer(
      'a signal to one rank stops all after the same step; resumed, it equals an uninterrupted run',
      async () => {
        const more = ['--save-every', '1', '--epochs', '12'];
        const stopped = job(2, words('stopped', ...more));
        await stopped.printed(/Epoch 2\/12 {2}val/);
        await stopped.signal(1, 'SIGTERM');
        const { code, stdout } = await stopped.ended;
        expect(code).not.toBe(0);
        expect(stdout).toMatch(/Stopped after step \d+; to go on: /);
        const resume = ['train', '--resume', out('stopped')];
        expect((await job(2, resume).ended).code).toBe(0);
        expect((await job(2, words('left-alone', ...more)).ended).code).toBe(0);
        const timeless = (found: Awaited<ReturnType<typeof outcome>>): unknown => ({
          ...found,
          last: found.last.state,
          best: found.best.state,
        });
        const [resumed, whole] = [await outcome(out('stopped')), await outcome(out('left-alone'))];
        expect(timeless(resumed)).toEqual(timeless(whole));
      },
    );

    longer('a rank that is told to stop does not wait for one that hangs', async () => {
      const hanging = job(2, words('hanging', '--epochs', '5000'));
      await hanging.printed(/Epoch 2\/5000 {2}val/);
      await hanging.signal(1, 'SIGSTOP');
      const began = performance.now();
      await hanging.signal(0, 'SIGTERM');
      const { code, stderr } = await hanging.ended;
      expect(code).not.toBe(0);
      expect(stderr).toMatch(
        /^error: rank 0.*expected the other ranks .* after SIGTERM, .*--resume$/m,
      );
      expect(performance.now() - began).toBeLessThan(25_000);
    });

    longer('a rank that is killed ends the job; it goes on with fewer ranks', async () => {
      const killed = job(3, words('killed', '--epochs', '200'));
      await killed.printed(/Epoch 2\/200 {2}val/);
      const began = performance.now();
      await killed.signal(2, 'SIGKILL');
      const { code } = await killed.ended;
      expect(code).not.toBe(0);
      expect(performance.now() - began).toBeLessThan(10_000);
      const resumed = job(2, ['train', '--resume', out('killed'), '--epochs', '200']);
      await resumed.printed(/warning: the run had 3 ranks and goes on with 2/);
      await resumed.printed(/Epoch \d+\/200 {2}val/);
      await resumed.signal(0, 'SIGTERM');
      expect((await resumed.ended).stdout).toContain('to go on');
    });

    test('each host may have its own copy of the data', async () => {
      for (const rank of [0, 1]) await cp(data, path.join(cwd, `copy${rank}`), { recursive: true });
      const given = trainWords(path.join(cwd, 'copy{rank}'), out('copies'), '--epochs', '1');
      expect((await job(2, given).ended).code).toBe(0);
    });

    test('differing data, settings and artifacts are found before the first step', async () => {
      const mixed = path.join(cwd, `${tag}-mixed`);
      await cp(data, `${mixed}0`, { recursive: true });
      await makeData(`${mixed}1`, 12, 4);
      const given = trainWords(`${mixed}{rank}`, out('refused'), '--epochs', '1');
      const differing = await failure(2, given);
      expect(differing).toMatch(/^error: rank 0 .*expected the same on all 2 ranks, found data: /m);
      expect(differing.match(/^error: /gm)).toHaveLength(1);
      expect(await failure(2, words('refused', '--momentum', '0.{rank}'))).toMatch(
        /found momentum: 0 on rank 0, 0.1 on rank 1 \(/,
      );
      await expect(readdir(out('refused'))).rejects.toThrow('ENOENT');
    });

    test("a rank's failure is printed with its rank, and ends the job", async () => {
      await cp(data, path.join(cwd, 'only0'), { recursive: true });
      const given = trainWords(path.join(cwd, 'only{rank}'), out('failed'), '--epochs', '1');
      const stderr = await failure(2, given);
      expect(stderr).toMatch(/^error: rank 1 on .*expected --data to be a folder/m);
    });
  });
}

test('without a launcher, koffi is not loaded', async () => {
  const preload = testProgram('support/no-koffi');
  const given = trainWords(data, path.join(cwd, 'alone'), '--epochs', '1');
  const { code, stderr } = await call(given, { cwd, preload });
  expect([stderr, code]).toEqual(['', 0]);
});

test('under srun without MPI, a line says so', async () => {
  const env = { SLURM_PROCID: '1', SLURM_STEP_NUM_TASKS: '2' };
  const given = trainWords(data, path.join(cwd, 'srun'), '--epochs', '1');
  const { code, stderr } = await call(given, { cwd, env });
  expect(stderr).toMatch(
    /^error: expected srun to offer MPI to its 2 tasks, [^\n]*--mpi=pmix[^\n]*\n$/,
  );
  expect(code).toBe(2);
});
