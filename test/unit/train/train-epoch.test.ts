import { describe, expect, test } from '@jest/globals';
import {
  EpochProgress,
  EpochTimer,
  groupBatches,
  stackBatches,
  trainEpoch,
  type EpochOfRun,
  type OnBatch,
} from '../../../src/train/train-epoch.js';
import { TrainingError } from '../../../src/common/errors.js';
import type { Batch, DataLoader } from '../../../src/data/data-loader.js';
import type {
  StackedBatches,
  StepResults,
  TrainSession,
} from '../../../src/session/train-session.js';
import { stepsPerExecution } from '../../../src/session/training-graph.js';

const SETTINGS = { lr: 0.1, momentum: 0.9, weightDecay: 0.01, classes: 2 };

function batch(first: number, size: number): Batch {
  const indices = Uint32Array.from({ length: size }, (_, i) => first + i);
  return {
    images: new Float32Array(size * 3).fill(first),
    labels: Int32Array.from(indices, (index) => index % 2),
    indices,
  };
}

async function* stream(...sizes: number[]): AsyncGenerator<Batch> {
  let first = 0;
  for (const size of sizes) {
    yield await Promise.resolve(batch(first, size));
    first += size;
  }
}

/** A loader that only takes buffers back. */
function recycler(): { loader: DataLoader; recycled: number[] } {
  const recycled: number[] = [];
  const recycle = (images: Float32Array): number => recycled.push(images.length);
  return { loader: { recycle } as unknown as DataLoader, recycled };
}

/** A session whose losses are given and whose logits always say class 1. */
function session(losses: number[]): { session: TrainSession; chunks: StackedBatches[] } {
  const chunks: StackedBatches[] = [];
  const step = (chunk: StackedBatches): Promise<StepResults> => {
    chunks.push(chunk);
    const logits = new Float32Array(chunk.steps * chunk.batchSize * 2).map((_, i) => i % 2);
    return Promise.resolve({ losses: Float32Array.from(losses.splice(0, chunk.steps)), logits });
  };
  return { session: { step } as unknown as TrainSession, chunks };
}

/** An epoch that nobody saves or stops, after 10 steps. */
function place(more: Partial<EpochOfRun> = {}): EpochOfRun {
  return {
    progress: new EpochProgress(),
    firstStep: 10,
    saveEvery: 0,
    save: () => Promise.resolve(),
    imageNames: (indices) => Promise.resolve([...indices].map((index) => `${index}.jpg`)),
    ...more,
  };
}

const ignore = (): undefined => undefined;

test('a call holds two steps, or one of 32 images', () => {
  expect([1, 4, 5, 16, 32, 64].map((size) => stepsPerExecution(size))).toEqual([2, 2, 2, 2, 1, 1]);
});

test('on CUDA, where a call moves the state, it holds up to 128 steps', () => {
  const steps = [1, 4, 16, 64, 2000].map((size) => stepsPerExecution(size, 'trainCuda'));
  expect(steps).toEqual([128, 128, 96, 24, 1]);
  expect(stepsPerExecution(4, 'trainWebgpu')).toBe(2);
  // A frozen backbone sees all images of a call at once, which a GPU's memory must hold.
  expect(stepsPerExecution(4, 'trainHead')).toBe(2);
});

test('batches are grouped up to the count, and never with one of another size', async () => {
  const groups: number[][] = [];
  for await (const group of groupBatches(stream(4, 4, 4, 4, 4, 2), 3)) {
    groups.push(group.map(({ labels }) => labels.length));
  }
  expect(groups).toEqual([[4, 4, 4], [4, 4], [2]]);
});

test('a group ends where it is asked to, full groups before it or not', async () => {
  const groups: number[] = [];
  const threes = (seen: number): boolean => seen % 3 === 0;
  for await (const group of groupBatches(stream(4, 4, 4, 4, 4, 4, 4), 2, threes)) {
    groups.push(group.length);
  }
  expect(groups).toEqual([2, 1, 2, 1, 1]);
});

test('a chunk puts batches one after the other and gives their buffers back', () => {
  const { loader, recycled } = recycler();
  const chunk = stackBatches([batch(0, 2), batch(2, 2)], SETTINGS, loader);
  expect([chunk.steps, chunk.batchSize]).toEqual([2, 2]);
  expect([...chunk.images]).toEqual([0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2]);
  expect([...chunk.targets]).toEqual([0.5, 0, 0, 0.5, 0.5, 0, 0, 0.5]);
  expect([...chunk.lr]).toEqual([...Float32Array.of(0.1, 0.1)]);
  expect(chunk.headLr).toEqual(chunk.lr);
  expect(recycled).toEqual([6, 6]);
});

describe('trainEpoch', () => {
  test('weights losses by images and reports every call', async () => {
    const { loader } = recycler();
    const fake = session([1, 2, 4]);
    const seen: [number, number][] = [];
    const onBatch: OnBatch = (done, m) => seen.push([done, m.images]);
    const batches = stream(4, 4, 2);
    const pass = await trainEpoch(fake.session, loader, batches, 8, SETTINGS, onBatch, place());
    expect(pass.meter.loss).toBe((4 * 1 + 4 * 2 + 2 * 4) / 10);
    expect(pass.meter.accuracy).toBe(0.5);
    // Two batches in the first: its images count only when its time does.
    expect(seen).toEqual([
      [2, 8],
      [3, 10],
    ]);
    expect(fake.chunks.map(({ steps, batchSize }) => [steps, batchSize])).toEqual([
      [2, 4],
      [1, 2],
    ]);
  });

  test('stops at a loss that is not finite and says where', async () => {
    const { loader } = recycler();
    const { session: fake } = session([1, NaN, 1]);
    const batches = stream(2, 2, 2);
    const attempt = trainEpoch(fake, loader, batches, 2, SETTINGS, ignore, place());
    await expect(attempt).rejects.toThrow(TrainingError);
    await expect(attempt).rejects.toThrow(
      /expected a finite loss, got NaN at step 12 .*0\.1.*images 2\.jpg, 3\.jpg/,
    );
  });

  test('passes on an error of the data, after the run that is under way', async () => {
    const { loader } = recycler();
    const { session: fake, chunks } = session([1, 1]);
    async function* broken(): AsyncGenerator<Batch> {
      yield* stream(2, 2);
      await Promise.resolve();
      throw new Error('no more');
    }
    const attempt = trainEpoch(fake, loader, broken(), 1, SETTINGS, ignore, place());
    await expect(attempt).rejects.toThrow('no more');
    expect(chunks.length).toBeGreaterThan(0);
  });
});

describe('an epoch of a run', () => {
  test('is saved at multiples of saveEvery of the run, with the sums up to there', async () => {
    const { loader } = recycler();
    const fake = session([1, 2, 4, 8, 16, 32, 64]);
    const progress = new EpochProgress();
    const saved: unknown[] = [];
    const save = (): Promise<void> => {
      const { partial } = progress;
      saved.push([partial?.batch, partial?.images, partial?.lossSum]);
      return Promise.resolve();
    };
    const batches = stream(2, 2, 2, 2, 2, 2, 1);
    const run = place({ progress, saveEvery: 3, save });
    await trainEpoch(fake.session, loader, batches, 8, SETTINGS, ignore, run);
    // Steps 12 and 15 of the run.
    expect(saved).toEqual([
      [2, 4, 6],
      [5, 10, 62],
    ]);
    expect(fake.chunks.map(({ steps }) => steps)).toEqual([2, 3, 1, 1]);
  });

  test('the time a checkpoint takes is no waiting for data', async () => {
    const { loader } = recycler();
    const fake = session([1, 1, 1]);
    const save = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 60));
    // Steps 11 to 13 of the run: saved after each.
    const run = place({ saveEvery: 1, save });
    const pass = await trainEpoch(fake.session, loader, stream(2, 2, 2), 8, SETTINGS, ignore, run);
    expect(pass.seconds).toBeGreaterThan(0.17);
    expect(pass.dataWaitSeconds).toBeLessThan(0.06);
  });

  test('goes on from what was saved, exactly', async () => {
    const { loader } = recycler();
    const partial = { batch: 2, images: 4, lossSum: 0.1 + 0.2, correct: 1 };
    const times = { seconds: 100, dataWaitSeconds: 50 };
    const progress = new EpochProgress({ ...partial, ...times });
    const run = place({ progress, saveEvery: 1, firstStep: 0 });
    const seen: number[] = [];
    const onBatch: OnBatch = (done) => seen.push(done);
    const fake = session([2]);
    const pass = await trainEpoch(fake.session, loader, stream(2), 8, SETTINGS, onBatch, run);
    expect(seen).toEqual([3]);
    expect(pass.meter.sums).toEqual({ images: 6, lossSum: 0.1 + 0.2 + 4, correct: 2 });
    expect(pass.seconds).toBeGreaterThanOrEqual(100);
    expect(pass.dataWaitSeconds).toBeGreaterThanOrEqual(50);
  });

  test('stops after the steps under way when asked to', async () => {
    const { loader } = recycler();
    const stop = new AbortController();
    const fake = session([1, 1, 1, 1]);
    const progress = new EpochProgress();
    const run = place({ progress, signal: stop.signal });
    const onBatch: OnBatch = (done) => {
      if (done === 2) stop.abort('enough');
    };
    const batches = stream(2, 2, 2, 2);
    const attempt = trainEpoch(fake.session, loader, batches, 2, SETTINGS, onBatch, run);
    await expect(attempt).rejects.toBe('enough');
    expect(progress.batch).toBe(2);
    expect(fake.chunks).toHaveLength(1);
  });
});

test('data wait is the time in which the runtime was idle', async () => {
  const clock = new EpochTimer();
  const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  await pause(30);
  clock.dataReady();
  await pause(60);
  clock.runtimeIdle();
  expect(clock.dataWaitSeconds).toBeGreaterThanOrEqual(0.028);
  expect(clock.dataWaitSeconds).toBeLessThan(clock.seconds - 0.055);
});
