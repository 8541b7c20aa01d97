/** Trains on several ranks in one process, over an in-memory process group: the distributed path without MPI. */

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DistributedError, InterruptedError } from '../../src/common/errors.js';
import type { StartEvent, TrainEvent } from '../../src/common/events.js';
import type { TrainOptions } from '../../src/config/train-options.js';
import { DdpTrainSession } from '../../src/distributed/ddp-session.js';
import type { ProcessGroup } from '../../src/distributed/process-group.js';
import { nodePlatform } from '../../src/platform/node/node-platform.js';
import { TrainSession } from '../../src/session/train-session.js';
import { trainingGraph } from '../../src/session/training-graph.js';
import { trainInGroup } from '../../src/train/train.js';
import { runRanks, settleRanks } from '../support/memory-process-group.js';
import { TINY } from '../support/paths.js';
import { CLASSES, threeSteps, WAYS } from '../support/rank-steps.js';
import { outcome } from '../support/run-process.js';
import { Colours } from '../support/tiny-network.js';

const NAMES = ['red', 'blue', 'green'];
let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'process-group-test-'));
});
afterAll(async () => {
  await rm(dir, { recursive: true });
});

/** 26 training and 8 validation images, in batches of 4. */
function settings(out: string, more: Partial<TrainOptions> = {}): TrainOptions {
  return {
    artifacts: TINY,
    trainDataset: new Colours(26, NAMES, 1),
    valDataset: new Colours(8, NAMES, 2),
    out: path.join(dir, out),
    weights: 'random',
    device: 'cpu',
    threads: 1,
    workers: 1,
    epochs: 2,
    lr: 0.02,
    seed: 3,
    ...more,
  };
}

function rank(group: ProcessGroup, options: TrainOptions): ReturnType<typeof trainInGroup> {
  return trainInGroup(group, options, 'option', nodePlatform);
}

test.each(Object.entries(WAYS))(
  'three ranks with the same batches are one process, to rounding: %s',
  async (_, ways) => {
    const graph = trainingGraph({ ...ways, clipGradNorm: 1 });
    const alone = await threeSteps(ways, (...given) =>
      TrainSession.create(...given, CLASSES, graph),
    );
    const ranks = await runRanks(3, (group) =>
      threeSteps(ways, (runtime, artifacts) =>
        DdpTrainSession.open({ group, runtime, artifacts, classes: CLASSES, settings: ways }),
      ),
    );
    for (const { losses, state } of ranks) {
      expect(state).toEqual(ranks[0]?.state);
      losses.forEach((loss, i) => {
        expect(loss).toBeCloseTo(alone.losses[i] ?? NaN, 5);
      });
      for (const [name, { data: expected }] of alone.state) {
        const own = state.get(name)?.data ?? [];
        const values = [...expected].map(Number);
        const largest = Math.max(...values.map(Math.abs), 1e-3);
        const errors = values.map((value, i) => Math.abs(value - Number(own[i])));
        expect([name, Math.max(...errors) / largest < 1e-4]).toEqual([name, true]);
      }
    }
  },
);

describe('a run on three ranks', () => {
  test('is reported and written by rank 0 alone; every validation image counts once', async () => {
    const events: TrainEvent[][] = [[], [], []];
    const results = await runRanks(3, async (group) => {
      const onEvent = (event: TrainEvent): void => void events[group.rank]?.push(event);
      const result = await rank(group, settings('whole', { onEvent }));
      return { result, abortOnExit: group.abortOnExit };
    });
    expect(events.map((list) => list.length > 0)).toEqual([true, false, false]);
    const start = events[0]?.find((event): event is StartEvent => event.type === 'start');
    expect(start?.ranks).toEqual({ size: 3, hosts: 1, library: 'memory' });
    const [first] = results;
    expect(results).toEqual([first, first, first]);
    expect(first?.abortOnExit).toBe(false);
    const { metrics, last } = await outcome(path.join(dir, 'whole'));
    expect(metrics.map(({ phase, images }) => [phase, images])).toEqual([
      ['train', 27],
      ['val', 8],
      ['train', 27],
      ['val', 8],
    ]);
    expect(last.run.step).toBe(6);
    expect(await readdir(path.join(dir, 'whole', 'checkpoints'))).toHaveLength(3);
  });

  test.each<[string, Partial<TrainOptions>, string]>([
    ['settings', { momentum: 0.5 }, 'found momentum: 0.9 on rank 0, 0.5 on rank 1'],
    ['classes', { trainDataset: new Colours(26, ['red', 'blue', 'x'], 1) }, 'found classes: '],
    ['data', { trainDataset: new Colours(25, NAMES, 1) }, 'found data: '],
  ])('is refused on every rank where one has other %s', async (name, other, message) => {
    const valDataset = new Colours(8, other.trainDataset?.classes ?? NAMES, 2);
    const outcomes = await settleRanks(2, (group) =>
      rank(group, settings(`refused-${name}`, group.rank === 1 ? { ...other, valDataset } : {})),
    );
    for (const { reason } of outcomes as PromiseRejectedResult[]) {
      expect(reason).toBeInstanceOf(DistributedError);
      expect((reason as Error).message).toContain(`expected the same on all 2 ranks, ${message}`);
    }
    await expect(readdir(path.join(dir, `refused-${name}`))).rejects.toThrow('ENOENT');
  });

  test('stops on all ranks after the same step; resumed, it is as one run', async () => {
    const stop = new AbortController();
    const events: TrainEvent[] = [];
    const onEvent = (event: TrainEvent): void => {
      events.push(event);
      // The fourth step of the run, in its second epoch. Rank 1 is the one that is asked to stop.
      if (event.type === 'step' && event.epoch === 2 && event.phase === 'train') stop.abort('stop');
    };
    const outcomes = await settleRanks(3, (group) => {
      const own = group.rank === 0 ? { onEvent } : group.rank === 1 ? { signal: stop.signal } : {};
      return rank(group, settings('stopped', own));
    });
    const reasons = outcomes.map(
      (one) => (one as PromiseRejectedResult).reason as InterruptedError,
    );
    for (const reason of reasons) expect(reason).toBeInstanceOf(InterruptedError);
    const steps = reasons.map(({ step }) => step);
    expect(new Set(steps).size).toBe(1);
    expect([4, 5]).toContain(steps[0]);
    const run = path.join(dir, 'stopped');
    await runRanks(3, (group) => rank(group, { ...settings('stopped'), resume: run }));
    const [resumed, whole] = [await outcome(run), await outcome(path.join(dir, 'whole'))];
    expect(resumed.last.state).toEqual(whole.last.state);
    expect(resumed.best.state).toEqual(whole.best.state);
  });
});
