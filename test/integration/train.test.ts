import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openArtifacts } from '../../src/platform/node/defaults.js';
import { loadCheckpoint } from '../../src/platform/node/defaults.js';
import { DatasetError, DeviceError, TrainingError, WeightsError } from '../../src/common/errors.js';
import type { PhaseRecord, TrainEvent } from '../../src/common/events.js';
import { DeviationMeter } from '../../src/export/measure-deviation.js';
import { parseModel } from '../../src/onnx/inference-model.js';
import { train, type TrainOptions, type TrainResult } from '../../src/index.js';
import { isBetter } from '../../src/metrics/is-better.js';
import { Colours, coloured } from '../support/tiny-network.js';
import { TINY } from '../support/paths.js';
import { exportInference } from '../../src/platform/node/library.js';
import { nodePlatform } from '../../src/platform/node/node-platform.js';

const CLASSES = ['red', 'blue', 'green'];
let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'trainer-test-'));
});
afterAll(async () => {
  await rm(dir, { recursive: true });
});

/** Settings for 26 training and 9 validation images: batches of 4, the last of 2 and 1. */
function settings(out: string, more: Partial<TrainOptions> = {}): TrainOptions {
  return {
    artifacts: TINY,
    trainDataset: new Colours(26, CLASSES, 1),
    valDataset: new Colours(9, CLASSES, 2),
    out: path.join(dir, out),
    weights: 'random',
    device: 'cpu',
    threads: 1,
    workers: 2,
    epochs: 5,
    lr: 0.02,
    stepSize: 2,
    seed: 3,
    ...more,
  };
}

async function metrics(run: string): Promise<PhaseRecord[]> {
  const text = await readFile(path.join(run, 'metrics.jsonl'), 'utf8');
  const lines = text.trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line) as PhaseRecord);
}

describe('a run on the tiny network', () => {
  let result: TrainResult;
  const events: TrainEvent[] = [];
  beforeAll(async () => {
    result = await train(settings('first', { onEvent: (event) => events.push(event) }));
  });

  test('learns: the loss falls and the validation images are told apart', async () => {
    const records = await metrics(result.runDir);
    const losses = records.filter(({ phase }) => phase === 'train').map(({ loss }) => loss);
    expect(losses.at(-1)).toBeLessThan((losses[0] ?? NaN) / 2);
    expect(result.bestAccuracy).toBe(1);
  });

  test('writes a record per phase, with the rate of StepLR', async () => {
    const records = await metrics(result.runDir);
    expect(records.map(({ epoch, phase, images }) => [epoch, phase, images])).toEqual(
      [1, 2, 3, 4, 5].flatMap((epoch) => [
        [epoch, 'train', 26],
        [epoch, 'val', 9],
      ]),
    );
    const rates = records.map(({ lr }) => lr);
    [0.02, 0.02, 0.02, 0.02, 0.002, 0.002, 0.002, 0.002, 0.0002, 0.0002].forEach((lr, i) => {
      expect(rates[i]).toBeCloseTo(lr, 12);
    });
    for (const { seconds, dataWaitSeconds } of records) {
      expect(dataWaitSeconds).toBeGreaterThanOrEqual(0);
      expect(dataWaitSeconds).toBeLessThanOrEqual(seconds);
    }
  });

  test('reports every call and each phase, and starts and ends once', () => {
    const count = (type: TrainEvent['type']): number =>
      events.filter((event) => event.type === type).length;
    expect([count('start'), count('step'), count('phase'), count('end')]).toEqual([
      1,
      // Training takes 4 calls: 3 with two batches of four each, 1 with the last batch. Validation: 1 call per batch.
      5 * (4 + 3),
      10,
      1,
    ]);
    expect(events[0]).toMatchObject({
      device: 'cpu',
      classes: CLASSES,
      trainImages: 26,
      valImages: 9,
      weightsSource: 'random (seed 3)',
    });
  });

  test('keeps the best and the last weights, whole', async () => {
    const { manifest } = await openArtifacts(TINY);
    const last = path.join(result.runDir, 'checkpoints', 'last.safetensors');
    const { run, state } = await loadCheckpoint(last, manifest);
    expect(run).toMatchObject({ arch: 'tiny', classes: CLASSES, epoch: 5, step: 35 });
    expect(run.best).toEqual({
      epoch: result.bestEpoch,
      accuracy: result.bestAccuracy,
      loss: result.bestLoss,
    });
    expect(state.get('bn1.num_batches_tracked')?.data).toEqual(BigInt64Array.of(35n));
    const best = await loadCheckpoint(result.checkpoint, manifest);
    expect(best.run.epoch).toBe(result.bestEpoch);
    const records = (await metrics(result.runDir)).filter(({ phase }) => phase === 'val');
    for (const record of records) expect(isBetter(record, run.best ?? record)).toBe(false);
  });

  test('records its settings', async () => {
    const text = await readFile(path.join(result.runDir, 'config.json'), 'utf8');
    expect(JSON.parse(text)).toMatchObject({
      arch: 'tiny',
      classes: CLASSES,
      batchSize: 4,
      lr: 0.02,
      momentum: 0.9,
      weightDecay: 0,
      stepSize: 2,
      gamma: 0.1,
      epochs: 5,
      seed: 3,
      weights: 'random',
      device: 'cpu',
    });
  });

  test('gives the same numbers with any number of workers', async () => {
    const again = await train(settings('again', { workers: 3, epochs: 2 }));
    const timeless = (records: PhaseRecord[]): object[] =>
      records.map((record) => ({ ...record, seconds: 0, dataWaitSeconds: 0 }));
    const [first, second] = [await metrics(result.runDir), await metrics(again.runDir)];
    expect(timeless(second)).toEqual(timeless(first.slice(0, 4)));
  });

  test('exports a model that gives the logits of the evaluation graph', async () => {
    const out = path.join(dir, 'exported.onnx');
    const run = result.runDir;
    const exported = await exportInference({ run, checkpoint: 'best', out });
    expect(exported.classes).toEqual(CLASSES);
    expect(exported.maxDifference).toBeLessThanOrEqual(1e-4);
    const { graph, metadataProps } = parseModel(out, await readFile(out));
    expect(graph?.input.map(({ name }) => name)).toEqual(['input']);
    const properties = Object.fromEntries(metadataProps.map(({ key, value }) => [key, value]));
    expect(JSON.parse(properties.classes ?? '')).toEqual(CLASSES);
    expect(properties.epoch).toBe(String(result.bestEpoch));
  });

  test('the check of an export notices a model with other weights', async () => {
    const artifacts = await openArtifacts(TINY);
    const read = async (name: string): Promise<Awaited<ReturnType<typeof loadCheckpoint>>> =>
      loadCheckpoint(path.join(result.runDir, 'checkpoints', name), artifacts.manifest);
    const { state } = await read('last.safetensors');
    const model = await readFile(path.join(dir, 'exported.onnx'));
    const bias = state.get('fc.bias');
    if (bias === undefined) throw new Error('no fc.bias');
    const moved = new Map(state).set('fc.bias', {
      ...bias,
      data: Float32Array.from(bias.data as Float32Array, (value) => value + 1),
    });
    const form = { rawImages: false, probabilities: false };
    const other = { artifacts, state: moved };
    const meter = new DeviationMeter(other, nodePlatform.ort);
    const { maxDifference } = await meter.measure(model, form);
    await meter.close();
    expect(maxDifference).toBeGreaterThan(0.1);
  });

  test('a damaged checkpoint is not exported', async () => {
    const run = path.join(dir, 'damaged');
    await mkdir(path.join(run, 'checkpoints'), { recursive: true });
    const config = await readFile(path.join(result.runDir, 'config.json'));
    await writeFile(path.join(run, 'config.json'), config);
    const bytes = await readFile(result.checkpoint);
    const file = path.join(run, 'checkpoints', 'best.safetensors');
    await writeFile(file, bytes.subarray(0, bytes.length - 5));
    const out = path.join(dir, 'not-written.onnx');
    const attempt = exportInference({ run, checkpoint: 'best', out });
    await expect(attempt).rejects.toThrow(WeightsError);
    await expect(readFile(out)).rejects.toThrow('ENOENT');
  });
});

describe('before the first step', () => {
  test.each([
    ['one class', { trainDataset: new Colours(4, ['red'], 1) }, 'expected at least 2 classes'],
    [
      'other classes',
      { valDataset: new Colours(4, ['red', 'blue'], 1) },
      'expected the validation',
    ],
    ['no images', { valDataset: new Colours(0, CLASSES, 1) }, 'expected images to train and'],
  ])('%s is refused', async (_, more, message) => {
    const attempt = train(settings('refused', more));
    await expect(attempt).rejects.toThrow(DatasetError);
    await expect(attempt).rejects.toThrow(message);
    await expect(readFile(path.join(dir, 'refused', 'config.json'))).rejects.toThrow('ENOENT');
  });

  test('a device that cannot be used is refused before weights that cannot be downloaded', async () => {
    const attempt = train(settings('refused', { device: 'cuda', weights: 'imagenet' }));
    await expect(attempt).rejects.toThrow(DeviceError);
  });

  test('a validation folder with a class that training does not have is refused', async () => {
    const data = path.join(dir, 'data');
    for (const [label, name] of ['train/a', 'train/b', 'val/a', 'val/z'].entries()) {
      await mkdir(path.join(data, name), { recursive: true });
      await writeFile(path.join(data, name, '1.png'), await coloured(label % 2, label));
    }
    const { trainDataset, valDataset, ...folders } = settings('folders');
    expect([trainDataset, valDataset]).not.toContain(undefined);
    const attempt = train({ ...folders, data });
    await expect(attempt).rejects.toThrow(DatasetError);
    await expect(attempt).rejects.toThrow(/z/);
  });
});

test('a run that diverges stops with an error and keeps its checkpoints', async () => {
  const attempt = train(settings('diverged', { lr: 1000, epochs: 5 }));
  await expect(attempt).rejects.toThrow(TrainingError);
  await expect(attempt).rejects.toThrow('expected a finite loss');
});

test('better is higher accuracy, then lower loss, and never a loss that is not a number', () => {
  const best = { accuracy: 0.5, loss: 1 };
  expect(isBetter({ accuracy: 0.6, loss: 2 }, best)).toBe(true);
  expect(isBetter({ accuracy: 0.5, loss: 0.9 }, best)).toBe(true);
  expect(isBetter({ accuracy: 0.5, loss: 1 }, best)).toBe(false);
  expect(isBetter({ accuracy: 0.4, loss: 0 }, best)).toBe(false);
  expect(isBetter({ accuracy: 0.9, loss: NaN }, best)).toBe(false);
});
