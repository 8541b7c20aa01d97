import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Artifacts } from '../../../src/artifacts/open-artifacts.js';
import { openArtifacts } from '../../../src/platform/node/defaults.js';
import { TrainingError } from '../../../src/common/errors.js';
import { crossEntropy } from '../../../src/metrics/logits.js';
import { OrtWorker } from '../../../src/session/ort-worker.js';
import { TrainSession } from '../../../src/session/train-session.js';
import type { State } from '../../../src/common/tensor.js';
import { initialState } from '../../../src/platform/node/defaults.js';
import { randomChunk } from '../../support/tiny-network.js';
import { TINY } from '../../support/paths.js';
import { nodePlatform } from '../../../src/platform/node/node-platform.js';

const CLASSES = 3;
let artifacts: Artifacts;
let runtime: OrtWorker;
let session: TrainSession;
let start: State;

beforeAll(async () => {
  artifacts = await openArtifacts(TINY);
  runtime = new OrtWorker(nodePlatform.ort, 'cpu', 1);
  session = await TrainSession.create(runtime, artifacts, CLASSES);
  ({ state: start } = await initialState(artifacts, {
    weights: 'random',
    classes: CLASSES,
    seed: 1,
  }));
});
afterAll(async () => {
  await runtime.close();
});

function data(state: State, name: string): Float32Array {
  const tensor = state.get(name);
  if (tensor === undefined) throw new Error(`no tensor ${name}`);
  return tensor.data as Float32Array;
}

const parameters = (): string[] => artifacts.manifest.parameters.map(({ name }) => name);

describe('TrainSession', () => {
  test('K steps in one call are, bit for bit, K calls of one step', async () => {
    const options = { batchSize: 3, classes: CLASSES, weightDecay: 0.01 };
    await session.setState(start);
    const whole = randomChunk({ ...options, steps: 4 });
    const parts = [0, 1, 2, 3].map((k) => {
      const all = randomChunk({ ...options, steps: 4 });
      const cut = (array: Float32Array): Float32Array<ArrayBuffer> =>
        new Float32Array(array.slice((k * array.length) / 4, ((k + 1) * array.length) / 4));
      const [images, targets] = [cut(all.images), cut(all.targets)];
      return { ...all, steps: 1, images, targets, lr: cut(all.lr), headLr: cut(all.headLr) };
    });
    const together = await session.step(whole);
    const endTogether = await session.getState();
    await session.setState(start);
    const losses: number[] = [];
    for (const part of parts) losses.push(...(await session.step(part)).losses);
    expect(losses).toEqual([...together.losses]);
    expect(await session.getState()).toEqual(endTogether);
  });

  test('gives the loss of the logits before the update', async () => {
    await session.setState(start);
    const chunk = randomChunk({ steps: 2, batchSize: 5, classes: CLASSES });
    const { losses, logits } = await session.step(chunk);
    for (let k = 0; k < 2; k++) {
      let sum = 0;
      for (let row = k * 5; row < k * 5 + 5; row++) {
        sum += crossEntropy(logits, row * CLASSES, CLASSES, chunk.labels[row] ?? NaN);
      }
      expect(losses[k]).toBeCloseTo(sum / 5, 5);
    }
  });

  test('the gradient is the slope of the loss', async () => {
    await session.setState(start);
    const options = { steps: 1, batchSize: 4, classes: CLASSES, lr: 0, momentum: 0 };
    await session.step(randomChunk(options));
    const gradients = await session.getState();
    const norm = Math.sqrt(
      parameters().reduce(
        (sum, name) => sum + data(gradients, `momentum.${name}`).reduce((s, g) => s + g * g, 0),
        0,
      ),
    );
    const at = async (distance: number): Promise<number> => {
      const moved = new Map(start);
      for (const name of parameters()) {
        const gradient = data(gradients, `momentum.${name}`);
        const values = data(start, name).map((w, i) => w + (distance * (gradient[i] ?? 0)) / norm);
        const tensor = start.get(name);
        if (tensor !== undefined) moved.set(name, { ...tensor, data: values });
      }
      await session.setState(moved);
      return (await session.step(randomChunk(options))).losses[0] ?? NaN;
    };
    const step = 1e-3;
    const slope = ((await at(step)) - (await at(-step))) / (2 * step);
    expect(Math.abs(slope / norm - 1)).toBeLessThan(0.02);
  });

  test('momentum adds up, weight decay is added to the gradient, each rate moves its own part', async () => {
    await session.setState(start);
    const still = { steps: 1, batchSize: 4, classes: CLASSES, lr: 0, momentum: 0.9 };
    await session.step(randomChunk(still));
    const first = await session.getState();
    await session.step(randomChunk(still));
    const second = await session.getState();
    const decayed = randomChunk({ ...still, momentum: 0, weightDecay: 0.1 });
    await session.step(decayed);
    const third = await session.getState();
    await session.step(randomChunk({ ...still, headLr: 0.5 }));
    const fourth = await session.getState();
    for (const name of parameters()) {
      const gradient = data(first, `momentum.${name}`);
      const scale = Math.max(...gradient.map(Math.abs), 1e-6);
      const weights = data(start, name);
      expect(data(second, name)).toEqual(weights);
      data(second, `momentum.${name}`).forEach((v, i) => {
        expect(Math.abs(v - 1.9 * (gradient[i] ?? NaN))).toBeLessThan(1e-5 * scale + 1e-7);
      });
      data(third, `momentum.${name}`).forEach((v, i) => {
        const expected = (gradient[i] ?? NaN) + 0.1 * (weights[i] ?? NaN);
        expect(Math.abs(v - expected)).toBeLessThan(1e-5 * scale + 1e-6);
      });
      const moved = data(fourth, name).some((w, i) => w !== weights[i]);
      expect([name, moved]).toEqual([name, name.startsWith('fc.')]);
    }
  });

  test('counts steps in num_batches_tracked, beside the rest of the state', async () => {
    await session.setState(start);
    await session.step(randomChunk({ steps: 3, batchSize: 2, classes: CLASSES }));
    const state = await session.getState();
    expect([...state.keys()].sort()).toEqual([...start.keys()].sort());
    for (const name of artifacts.manifest.counters) {
      expect(state.get(name)?.data).toEqual(BigInt64Array.of(3n));
    }
    await session.setState(state);
    await session.step(randomChunk({ steps: 1, batchSize: 2, classes: CLASSES }));
    const later = await session.getState();
    expect(later.get('bn1.num_batches_tracked')?.data).toEqual(BigInt64Array.of(4n));
  });

  test('a copy of the state is not touched by later steps; the weights are it without momentum', async () => {
    await session.setState(start);
    const options = { steps: 2, batchSize: 2, classes: CLASSES };
    await session.step(randomChunk(options));
    const copy = await session.getState();
    const before = new Map([...copy].map(([name, { data }]) => [name, data.slice()]));
    const weights = await session.getWeights();
    const names = [...copy.keys()].filter((name) => !name.startsWith('momentum.'));
    expect([...weights.keys()]).toEqual(names);
    for (const [name, tensor] of weights) expect(tensor).toEqual(copy.get(name));
    // The memory of the state before the last step is used again for the one after the next.
    for (let i = 0; i < 3; i++) await session.step(randomChunk({ ...options, lr: 0.1, seed: i }));
    expect(new Map([...copy].map(([name, { data }]) => [name, data]))).toEqual(before);
    expect(data(await session.getState(), 'conv1.weight')).not.toEqual(before.get('conv1.weight'));
  });

  test('refuses a state that lacks a tensor', async () => {
    const incomplete = new Map(start);
    incomplete.delete('momentum.fc.bias');
    const attempt = session.setState(incomplete);
    await expect(attempt).rejects.toThrow(TrainingError);
    await expect(attempt).rejects.toThrow('expected the tensor momentum.fc.bias, found none');
  });
});

describe('Runtime', () => {
  test('passes on what the runtime says of a bad model or input, and goes on', async () => {
    await expect(runtime.load(new Uint8Array([1, 2, 3]))).rejects.toThrow();
    await expect(runtime.run(99, {})).rejects.toThrow('session 99 is not loaded');
    const model = await runtime.loadGraph(artifacts, 'evaluate');
    await expect(runtime.run(model, {})).rejects.toThrow(/input/);
    await runtime.release(model);
  });

  test('closing waits for what is under way, twice is once, and later requests fail', async () => {
    const other = new OrtWorker(nodePlatform.ort, 'cpu', 1);
    const model = await artifacts.readGraph('train');
    const loading = other.load(model);
    await other.close();
    await expect(loading).resolves.toBe(1);
    await other.close();
    await expect(other.load(model)).rejects.toThrow('ended');
  });
});
