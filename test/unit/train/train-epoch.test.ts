import { describe, expect, test } from '@jest/globals';
import { TrainingError } from '../../../src/common/errors.js';
import type { StepEvent } from '../../../src/common/events.js';
import type { Batch } from '../../../src/data/batch.js';
import type { SchedulePosition } from '../../../src/train/lr-schedule.js';
import { trainEpoch, trainLoneEpoch } from '../../../src/train/train-epoch.js';
import {
  epochParts,
  FakeSession,
  loaderOf,
  runAfter,
  SETTINGS,
  stream,
} from '../../support/epoch-parts.js';

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('trainEpoch', () => {
  test('weights losses by images and reports every call', async () => {
    const session = new FakeSession([1, 2, 4]);
    const seen: StepEvent[] = [];
    const emit = (event: { type: string }): void => void seen.push(event as StepEvent);
    const pass = await trainEpoch(epochParts({ session, batches: stream(4, 4, 2), emit }));
    expect(pass.meter.loss).toBe((4 * 1 + 4 * 2 + 2 * 4) / 10);
    expect(pass.meter.accuracy).toBe(0.5);
    // Two batches in the first: its images count only when its time does.
    expect(seen.map(({ batch, loss }) => [batch, loss])).toEqual([
      [2, 1.5],
      [3, 2],
    ]);
    expect(seen[0]).toMatchObject({
      epoch: 1,
      epochs: 5,
      phase: 'train',
      batches: 7,
      accuracy: 0.5,
    });
    expect(session.chunks.map(({ steps, batchSize }) => [steps, batchSize])).toEqual([
      [2, 4],
      [1, 2],
    ]);
  });

  test('stops at a loss that is not finite and says where', async () => {
    const session = new FakeSession([1, NaN, 1]);
    const parts = epochParts({ session, batches: stream(2, 2, 2), stepsPerExecution: 2 });
    const attempt = trainEpoch(parts);
    await expect(attempt).rejects.toThrow(TrainingError);
    await expect(attempt).rejects.toThrow(
      /expected a finite loss, got NaN at step 12 .*0\.1.*images 2\.jpg, 3\.jpg/,
    );
  });

  test('passes on an error of the data, after the steps that are under way', async () => {
    const session = new FakeSession([1, 1]);
    async function* broken(): AsyncGenerator<Batch> {
      yield* stream(2, 2);
      await Promise.resolve();
      throw new Error('no more');
    }
    const run = runAfter({ step: 10 });
    const parts = epochParts({ session, batches: broken(), run, stepsPerExecution: 1 });
    await expect(trainEpoch(parts)).rejects.toThrow('no more');
    expect(session.chunks).toHaveLength(2);
    // Both steps were computed, so both count.
    expect([run.globalStep, run.epochProgress.meter.images, session.busy]).toEqual([12, 4, false]);
  });

  test('asks the schedule for the rates of every step', async () => {
    const session = new FakeSession([1, 1, 1]);
    const schedule = (base: number, { step }: SchedulePosition): number => base * step;
    const config = { lr: 1, headLr: 10, schedule };
    const run = runAfter({ epoch: 2, step: 99 });
    await trainEpoch(epochParts({ session, batches: stream(2, 2, 1), run, config }));
    // Two epochs of 7 steps came before, whatever the number of steps of other ranks.
    expect(session.chunks.map(({ lr, headLr }) => [...lr, ...headLr])).toEqual([
      [14, 15, 140, 150],
      [16, 160],
    ]);
  });
});

describe('an epoch of a run', () => {
  test('is saved at multiples of saveEvery of the run, with the sums up to there', async () => {
    const session = new FakeSession([1, 2, 4, 8, 16, 32, 64]);
    const saved: unknown[] = [];
    const run = runAfter(
      { step: 10 },
      {
        saveEvery: 3,
        save: ({ run: { partial, step } }) => {
          saved.push([step, partial?.batch, partial?.images, partial?.lossSum]);
          return Promise.resolve();
        },
      },
    );
    await trainEpoch(epochParts({ session, batches: stream(2, 2, 2, 2, 2, 2, 1), run }));
    expect(saved).toEqual([
      [12, 2, 4, 6],
      [15, 5, 10, 62],
    ]);
    expect(session.chunks.map(({ steps }) => steps)).toEqual([2, 3, 1, 1]);
  });

  test('is never saved while a step is under way', async () => {
    const session = new FakeSession([1, 1, 1, 1]);
    const busy: boolean[] = [];
    const save = async (): Promise<void> => {
      busy.push(session.busy);
      await pause(5);
      busy.push(session.busy);
    };
    const run = runAfter({}, { saveEvery: 1, save });
    await trainEpoch(epochParts({ session, batches: stream(2, 2, 2, 2), run }));
    expect(busy).toEqual(Array(8).fill(false));
  });

  test('the time a checkpoint takes is no waiting for data', async () => {
    const session = new FakeSession([1, 1, 1]);
    // Steps 11 to 13 of the run: saved after each.
    const run = runAfter({ step: 10 }, { saveEvery: 1, save: () => pause(60) });
    const pass = await trainEpoch(epochParts({ session, batches: stream(2, 2, 2), run }));
    expect(pass.seconds).toBeGreaterThan(0.17);
    expect(pass.dataWaitSeconds).toBeLessThan(0.06);
  });

  test('goes on from what was saved, exactly', async () => {
    const sums = { batch: 2, images: 4, lossSum: 0.1 + 0.2, correct: 1 };
    const partial = { ...sums, seconds: 100, dataWaitSeconds: 50 };
    const run = runAfter({ step: 2, partial }, { saveEvery: 1 });
    const seen: number[] = [];
    const pass = await trainEpoch(
      epochParts({
        session: new FakeSession([2]),
        batches: stream(2),
        run,
        emit: (event) => event.type === 'step' && seen.push(event.batch),
      }),
    );
    expect(seen).toEqual([3]);
    expect(pass.meter.sums).toEqual({ images: 6, lossSum: 0.1 + 0.2 + 4, correct: 2 });
    expect(pass.seconds).toBeGreaterThanOrEqual(100);
    expect(pass.dataWaitSeconds).toBeGreaterThanOrEqual(50);
  });

  test('asks the loader for the batches that are left', async () => {
    const partial = { batch: 2, images: 4, lossSum: 1, correct: 1, seconds: 1, dataWaitSeconds: 0 };
    const run = runAfter({ epoch: 3, step: 23, partial });
    const parts = epochParts({ session: new FakeSession([2]), batches: stream(2), run });
    const asked: unknown[] = [];
    const trainLoader = {
      ...parts.trainLoader,
      epoch: (...given: unknown[]) => {
        asked.push(given);
        return stream(2);
      },
    };
    await trainEpoch({ ...parts, trainLoader });
    expect(asked).toEqual([[3, { shuffle: true, startBatch: 2 }]]);
  });

  test('stops after the steps under way when asked to', async () => {
    const stop = new AbortController();
    const session = new FakeSession([1, 1, 1, 1]);
    const run = runAfter({});
    const attempt = trainEpoch(
      epochParts({
        session,
        batches: stream(2, 2, 2, 2),
        run,
        signal: stop.signal,
        stepsPerExecution: 2,
        emit: (event) => {
          if (event.type === 'step' && event.batch === 2) stop.abort('enough');
        },
      }),
    );
    await expect(attempt).rejects.toBe('enough');
    expect(run.epochProgress.batch).toBe(2);
    expect(session.chunks).toHaveLength(1);
  });

  test('asked to stop in its last step, it does not go on to the validation', async () => {
    const stop = new AbortController();
    const run = runAfter({});
    const attempt = trainEpoch(
      epochParts({
        session: new FakeSession([1]),
        batches: stream(2),
        run,
        signal: stop.signal,
        emit: () => {
          stop.abort('enough');
        },
      }),
    );
    await expect(attempt).rejects.toBe('enough');
    expect(run.epochProgress.batch).toBe(1);
  });

  test('asked to stop with no batch left, it does not go on to the validation', async () => {
    const stop = new AbortController();
    stop.abort('enough');
    const session = new FakeSession([]);
    const parts = epochParts({
      session,
      batches: stream(),
      run: runAfter({}),
      signal: stop.signal,
    });
    await expect(trainEpoch(parts)).rejects.toBe('enough');
    expect(session.chunks).toEqual([]);
  });

  test('takes no step whose data come after it was asked to stop', async () => {
    const stop = new AbortController();
    const session = new FakeSession([1, 1]);
    async function* late(): AsyncGenerator<Batch> {
      yield* stream(2);
      await pause(20);
      stop.abort('enough');
      yield* stream(2);
    }
    const run = runAfter({});
    const parts = epochParts({ session, batches: late(), run, signal: stop.signal });
    await expect(trainEpoch({ ...parts, stepsPerExecution: 1 })).rejects.toBe('enough');
    expect([run.globalStep, session.chunks.length]).toEqual([1, 1]);
  });

  test('leaving it ends the loader', async () => {
    let ended = false;
    async function* endless(): AsyncGenerator<Batch> {
      try {
        for (;;) yield* stream(2);
      } finally {
        ended = true;
      }
    }
    const session = new FakeSession([1, NaN]);
    const parts = epochParts({ session, batches: endless(), stepsPerExecution: 1 });
    await expect(trainEpoch(parts)).rejects.toThrow(TrainingError);
    expect(ended).toBe(true);
  });
});

test('an epoch on its own is trained at one rate, without a run', async () => {
  const session = new FakeSession([1, 3]);
  const loader = loaderOf(stream());
  const batches = stream(2, 2);
  const { momentum, weightDecay } = SETTINGS;
  const settings = { lr: 0.5, momentum, weightDecay };
  const lone = { session, batches, loader, stepsPerExecution: 2, classes: 2, settings };
  const { meter } = await trainLoneEpoch(lone);
  expect([meter.loss, meter.images]).toEqual([2, 4]);
  expect(session.chunks[0]).toMatchObject({
    lr: Float32Array.of(0.5, 0.5),
    headLr: Float32Array.of(0.5, 0.5),
    momentum: 0.9,
  });
});
