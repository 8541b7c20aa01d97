/** Trains a tiny network with Dropout: masks reach every graph, and stops, workers and ranks do not change them. */

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Artifacts } from '../../src/artifacts/open-artifacts.js';
import { InterruptedError, TrainingError } from '../../src/common/errors.js';
import type { State } from '../../src/common/tensor.js';
import { drawMasks } from '../../src/data/masks.js';
import { DdpTrainSession } from '../../src/distributed/ddp-session.js';
import { evaluate, exportInference, findLr, train, type TrainOptions } from '../../src/index.js';
import { initialState, openArtifacts, readCheckpoint } from '../../src/platform/node/defaults.js';
import { nodePlatform } from '../../src/platform/node/node-platform.js';
import { OrtWorker } from '../../src/session/ort-worker.js';
import { TrainSession } from '../../src/session/train-session.js';
import { MASKS, maskedTiny, WIDTH } from '../support/masked-tiny.js';
import { runRanks } from '../support/memory-process-group.js';
import { makeData } from '../support/run-process.js';
import { randomChunk } from '../support/tiny-network.js';

const CLASSES = 3;
let dir: string;
let data: string;
let artifacts: Artifacts;
let runtime: OrtWorker;
beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'masks-'));
  data = await makeData(path.join(dir, 'data'), 8, 3);
  artifacts = await openArtifacts(maskedTiny(path.join(dir, 'tiny')));
  runtime = new OrtWorker(nodePlatform.ort, 'cpu', 1);
});
afterAll(async () => {
  await runtime.close();
  await rm(dir, { recursive: true });
});

async function fresh(): Promise<State> {
  return (await initialState(artifacts, { weights: 'random', classes: CLASSES, seed: 1 })).state;
}

describe('a session', () => {
  test.each(['train', 'trainExtended', 'trainHead'] as const)(
    '%s feeds each row to its image',
    async (graph) => {
      const session = await TrainSession.create(runtime, artifacts, CLASSES, graph);
      const state = await fresh();
      const [steps, batchSize] = [2, 4];
      const options = { steps, batchSize, classes: CLASSES, lr: 0 };
      const masks = new Float32Array(steps * batchSize * WIDTH).fill(1);
      await session.setState(state);
      const all = await session.step({ ...randomChunk(options), masks: masks.slice() });
      // Without features, the logits of an image are the head's bias.
      const hidden = [1, 6];
      for (const row of hidden) masks.fill(0, row * WIDTH, (row + 1) * WIDTH);
      await session.setState(state);
      const { logits } = await session.step({ ...randomChunk(options), masks });
      const bias = state.get('fc.bias')?.data as Float32Array;
      for (let row = 0; row < steps * batchSize; row++) {
        const found = logits.slice(row * CLASSES, (row + 1) * CLASSES);
        const whole = all.logits.slice(row * CLASSES, (row + 1) * CLASSES);
        expect(found).toEqual(hidden.includes(row) ? bias : whole);
      }
    },
  );

  test('without masks it refuses to step', async () => {
    const session = await TrainSession.create(runtime, artifacts, CLASSES);
    await session.setState(await fresh());
    const step = session.step(randomChunk({ steps: 1, batchSize: 2, classes: CLASSES }));
    await expect(step).rejects.toThrow(TrainingError);
    await expect(
      session.step(randomChunk({ steps: 1, batchSize: 2, classes: CLASSES })),
    ).rejects.toThrow('expected masks for the training graph of tiny, got none');
  });

  test('two ranks take the step of one process', async () => {
    const [batchSize, momentum] = [8, 0];
    const options = { steps: 1, batchSize, classes: CLASSES, lr: 0.5, momentum };
    const indices = Uint32Array.from({ length: batchSize }, (_, i) => 3 * i);
    const place = { seed: 5, epoch: 2 };
    const whole = await TrainSession.create(runtime, artifacts, CLASSES, 'trainHead');
    await whole.setState(await fresh());
    await whole.step({ ...randomChunk(options), masks: drawMasks(MASKS, { ...place, indices }) });
    const expected = (await whole.getState()).get('fc.weight')?.data as Float32Array;
    const ranks = await runRanks(2, async (group) => {
      const own = new OrtWorker(nodePlatform.ort, 'cpu', 1);
      try {
        const settings = { freeze: 'backbone', nesterov: false } as const;
        const ddp = { group, runtime: own, artifacts, classes: CLASSES, settings };
        const session = await DdpTrainSession.open(ddp);
        await session.setState(await fresh());
        const chunk = randomChunk(options);
        const part = <T extends Float32Array | Uint32Array>(array: T): T =>
          array.slice((group.rank * array.length) / 2, ((group.rank + 1) * array.length) / 2) as T;
        await session.step({
          ...chunk,
          batchSize: batchSize / 2,
          images: part(chunk.images),
          targets: part(chunk.targets).map((value) => 2 * value),
          masks: drawMasks(MASKS, { ...place, indices: part(indices) }),
        });
        return (await session.getState()).get('fc.weight')?.data as Float32Array;
      } finally {
        await own.close();
      }
    });
    for (const found of ranks) {
      expect(Math.max(...found.map((v, i) => Math.abs(v - (expected[i] ?? NaN))))).toBeLessThan(
        1e-6,
      );
    }
  });
});

describe('a run', () => {
  const settings = (out: string, more: TrainOptions = {}): TrainOptions => ({
    ...{ data, artifacts: artifacts.dir, weights: 'random', device: 'cpu', threads: 1 },
    ...{ workers: 1, batchSize: 4, epochs: 2, lr: 0.01, seed: 3, out: path.join(dir, out) },
    ...more,
  });
  const endOf = async (out: string): Promise<ReadonlyMap<string, unknown>> =>
    (await readCheckpoint(path.join(dir, out, 'checkpoints', 'last.safetensors'))).tensors;

  test('that was stopped ends with the bits of one that was not, with more workers', async () => {
    await train(settings('whole'));
    const stop = new AbortController();
    const stopped = settings('stopped', {
      workers: 2,
      signal: stop.signal,
      onEvent: (event) => {
        if (event.type === 'step' && event.phase === 'train' && event.epoch === 2) stop.abort();
      },
    });
    await expect(train(stopped)).rejects.toThrow(InterruptedError);
    await train({ resume: path.join(dir, 'stopped') });
    expect(await endOf('stopped')).toEqual(await endOf('whole'));
  });

  test.each<[string, TrainOptions]>([
    ['frozen', { freeze: 'backbone' }],
    ['nesterov', { nesterov: true, clipGradNorm: 1 }],
  ])('goes to its end: %s', async (name, more) => {
    const { bestEpoch, bestLoss } = await train(settings(name, { ...more, epochs: 1 }));
    expect([bestEpoch, Number.isFinite(bestLoss)]).toEqual([1, true]);
  });

  test('is evaluated and exported without masks, and find-lr takes its steps', async () => {
    const run = path.join(dir, 'whole');
    const { replay } = await exportInference({ run, out: path.join(dir, 'model.onnx') });
    expect(replay).toMatchObject({ images: 6, differing: 0 });
    const judged = await evaluate({ run, data: path.join(data, 'val') });
    expect(judged.accuracy).toBe(replay?.accuracy);
    const { out, epochs, lr, ...shared } = settings('none');
    const { points } = await findLr({ ...shared, steps: 10 });
    expect([points.length > 0, out === undefined, epochs, lr]).toEqual([true, false, 2, 0.01]);
  });
});
