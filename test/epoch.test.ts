import { describe, expect, test } from '@jest/globals';
import { PassClock, groupBatches, stepsPerCall, toChunk, trainEpoch } from '../src/epoch.js';
import { TrainingError } from '../src/errors.js';
import type { Batch, DataLoader } from '../src/loader.js';
import type { Chunk, ChunkResult, TrainSession } from '../src/session.js';

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
function session(losses: number[]): { session: TrainSession; chunks: Chunk[] } {
  const chunks: Chunk[] = [];
  const step = (chunk: Chunk): Promise<ChunkResult> => {
    chunks.push(chunk);
    const logits = new Float32Array(chunk.steps * chunk.batchSize * 2).map((_, i) => i % 2);
    return Promise.resolve({ losses: Float32Array.from(losses.splice(0, chunk.steps)), logits });
  };
  return { session: { step } as unknown as TrainSession, chunks };
}

test('a call holds about 32 images, and 8 steps at most', () => {
  expect([1, 4, 5, 16, 32, 64].map(stepsPerCall)).toEqual([8, 8, 6, 2, 1, 1]);
});

test('batches are grouped up to the count, and never with one of another size', async () => {
  const groups: number[][] = [];
  for await (const group of groupBatches(stream(4, 4, 4, 4, 4, 2), 3)) {
    groups.push(group.map(({ labels }) => labels.length));
  }
  expect(groups).toEqual([[4, 4, 4], [4, 4], [2]]);
});

test('a chunk puts batches one after the other and gives their buffers back', () => {
  const { loader, recycled } = recycler();
  const chunk = toChunk([batch(0, 2), batch(2, 2)], SETTINGS, loader);
  expect([chunk.steps, chunk.batchSize]).toEqual([2, 2]);
  expect([...chunk.images]).toEqual([0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2]);
  expect([...chunk.targets]).toEqual([0.5, 0, 0, 0.5, 0.5, 0, 0, 0.5]);
  expect([...chunk.lr]).toEqual([...Float32Array.of(0.1, 0.1)]);
  expect(chunk.headLr).toEqual(chunk.lr);
  expect(recycled).toEqual([6, 6]);
});

describe('trainEpoch', () => {
  test('weights losses by images and reports every batch', async () => {
    const { loader } = recycler();
    const fake = session([1, 2, 4]);
    const seen: [number, number][] = [];
    const pass = await trainEpoch(fake.session, loader, stream(4, 4, 2), 8, SETTINGS, (done, m) => {
      seen.push([done, m.images]);
    });
    expect(pass.meter.loss).toBe((4 * 1 + 4 * 2 + 2 * 4) / 10);
    expect(pass.meter.accuracy).toBe(0.5);
    expect(seen).toEqual([
      [1, 4],
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
    const attempt = trainEpoch(fake, loader, stream(2, 2, 2), 2, SETTINGS, () => undefined);
    await expect(attempt).rejects.toThrow(TrainingError);
    await expect(attempt).rejects.toThrow(
      /expected a finite loss, got NaN at batch 2 .*0\.1.*images 2, 3/,
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
    const attempt = trainEpoch(fake, loader, broken(), 1, SETTINGS, () => undefined);
    await expect(attempt).rejects.toThrow('no more');
    expect(chunks.length).toBeGreaterThan(0);
  });
});

test('data wait is the time in which the runtime was idle', async () => {
  const clock = new PassClock();
  const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  await pause(30);
  clock.dataReady();
  await pause(60);
  clock.runtimeIdle();
  expect(clock.dataWaitSeconds).toBeGreaterThanOrEqual(0.028);
  expect(clock.dataWaitSeconds).toBeLessThan(clock.seconds - 0.055);
});
