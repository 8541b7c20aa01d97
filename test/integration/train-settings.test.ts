/** Tests the effects of settings on a run: the split, early stopping, rates, resuming, --config. */

import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { openArtifacts } from '../../src/platform/node/defaults.js';
import { loadCheckpoint } from '../../src/platform/node/defaults.js';
import { ImageFolder } from '../../src/data/folders/image-folder.js';
import { ConfigError, DatasetError } from '../../src/common/errors.js';
import type { PhaseRecord, TrainEvent } from '../../src/common/events.js';
import { exportInference, train, type TrainOptions, type TrainResult } from '../../src/index.js';
import { splitFolder } from '../../src/data/folders/train-val-split.js';
import type { State } from '../../src/common/tensor.js';
import { makeData } from '../support/run-process.js';
import { CLI, TINY } from '../support/paths.js';

let dir: string;
let data: string;

function run(out: string, more: Partial<TrainOptions> = {}): Promise<TrainResult> {
  return train({
    ...({ data, artifacts: TINY, weights: 'random', device: 'cpu', workers: 1 } as const),
    ...{ out: path.join(dir, out), epochs: 1, lr: 0.003, seed: 1 },
    ...more,
  });
}

async function records({ runDir }: TrainResult): Promise<PhaseRecord[]> {
  const text = await readFile(path.join(runDir, 'metrics.jsonl'), 'utf8');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as PhaseRecord);
}

async function weights({ runDir }: TrainResult): Promise<State> {
  const { manifest } = await openArtifacts(TINY);
  const file = path.join(runDir, 'checkpoints', 'last.safetensors');
  return (await loadCheckpoint(file, manifest)).state;
}

beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'train-settings-'));
  data = await makeData(path.join(dir, 'data'), 10, 4);
});
afterAll(async () => {
  await rm(dir, { recursive: true });
});

describe('without a val folder', () => {
  let alone: string;
  beforeAll(async () => {
    alone = await makeData(path.join(dir, 'alone'), 10, 1);
    await rm(path.join(alone, 'val'), { recursive: true });
  });

  test('a share of each class is for validation: the same images on every run, listed, exported', async () => {
    const events: TrainEvent[] = [];
    const onEvent = (event: TrainEvent): number => events.push(event);
    const first = await run('split-1', { data: alone, valFraction: 0.3, onEvent });
    const second = await run('split-2', { data: alone, valFraction: 0.3, seed: 9 });
    const list = (result: TrainResult): Promise<string> =>
      readFile(path.join(result.runDir, 'validation.txt'), 'utf8');
    const names = (await list(first)).trimEnd().split('\n');
    expect(names.map((name) => path.dirname(name))).toEqual([
      ...['blue', 'blue', 'blue', 'red', 'red', 'red'],
    ]);
    expect(await list(second)).toBe(await list(first));
    expect(events.find(({ type }) => type === 'start')).toMatchObject({
      ...{ trainImages: 14, valImages: 6 },
    });
    const warned = events.some((e) => e.type === 'warning' && e.message.includes('6 images'));
    expect(warned).toBe(true);
    const out = path.join(dir, 'split.onnx');
    const { replay } = await exportInference({ run: first.runDir, checkpoint: 'best', out });
    expect(replay).toMatchObject({ images: 6, differing: 0 });
  });

  test('class folders alone are enough; one image per class is not', async () => {
    const bare = path.join(alone, 'train');
    const result = await run('bare', { data: bare });
    expect((await records(result)).map(({ images }) => images)).toEqual([16, 4]);
    const folder = await ImageFolder.open(bare);
    const few = folder.without(new Set(folder.samples.slice(1, 10).map(({ image }) => image)));
    expect(() => splitFolder(few, 0.15)).toThrow(DatasetError);
  });

  test('added images leave most of the others in their split', async () => {
    const folder = await ImageFolder.open(path.join(alone, 'train'));
    const fewer = folder.without(new Set(folder.samples.slice(0, 2).map(({ image }) => image)));
    const [all, some] = [splitFolder(folder, 0.3).val, splitFolder(fewer, 0.3).val];
    const kept = all.samples.filter((a) => some.samples.some((b) => a.image === b.image));
    expect(kept.length).toBeGreaterThanOrEqual(4);
    expect(splitFolder(folder, 0.9).train.length).toBe(2);
  });
});

describe('rates and targets reach the network', () => {
  test('--head-lr moves the head alone if the other rate is 0', async () => {
    const before = await weights(await run('still', { lr: 0, epochs: 1 }));
    const after = await weights(await run('head', { lr: 0, headLr: 0.01 }));
    expect(after.get('conv1.weight')).toEqual(before.get('conv1.weight'));
    expect(after.get('fc.weight')).not.toEqual(before.get('fc.weight'));
    // The head learns at lr if headLr is 0 or equal to lr.
    const [same, own] = [await run('same'), await run('own', { headLr: 0.003 })];
    expect(await weights(own)).toEqual(await weights(same));
  });

  test('class weights and smoothing change the training, and equal weights do not', async () => {
    const plain = await weights(await run('plain'));
    const smooth = await weights(await run('smooth', { labelSmoothing: 0.2 }));
    expect(smooth.get('fc.weight')).not.toEqual(plain.get('fc.weight'));
    // The classes have equally many images, so auto gives 1 and 1.
    expect(await weights(await run('auto', { classWeights: 'auto' }))).toEqual(plain);
  });

  test('a frozen backbone does not change, the head learns as the other settings say', async () => {
    const weighted = path.join(dir, 'weights.json');
    await writeFile(weighted, '{"red": 1, "blue": 3}');
    const frozen = { freeze: 'backbone', lr: 0.01 } as const;
    const start = await weights(await run('before', { lr: 0, freeze: 'backbone' }));
    const plain = await weights(await run('frozen', frozen));
    expect(plain.get('fc.weight')).not.toEqual(start.get('fc.weight'));
    for (const name of ['conv1.weight', 'bn1.running_mean', 'bn1.num_batches_tracked']) {
      expect([name, plain.get(name)]).toEqual([name, start.get(name)]);
    }
    const variants: Partial<TrainOptions>[] = [
      { headLr: 0.02 },
      { classWeights: weighted },
      { labelSmoothing: 0.2 },
      { nesterov: true },
      { clipGradNorm: 0.01 },
      { weightDecay: 0.1 },
    ];
    for (const [i, more] of variants.entries()) {
      const other = await weights(await run(`frozen-${i}`, { ...frozen, ...more }));
      expect([more, other.get('fc.weight')]).not.toEqual([more, plain.get('fc.weight')]);
    }
  });

  test('Nesterov momentum and clipped gradients reach every layer', async () => {
    const plain = await weights(await run('sgd'));
    for (const [i, more] of [{ nesterov: true }, { clipGradNorm: 0.01 }].entries()) {
      const other = await weights(await run(`sgd-${i}`, more));
      expect(other.get('conv1.weight')).not.toEqual(plain.get('conv1.weight'));
    }
    expect(await weights(await run('sgd-far', { clipGradNorm: 1e6 }))).toEqual(plain);
  });

  test('the records have the rates of the schedule', async () => {
    const result = await run('cosine', { epochs: 4, schedule: 'cosine', warmupEpochs: 1 });
    const rates = (await records(result)).filter(({ phase }) => phase === 'train');
    const expected = [1 / 3, 1, 0.75, 0.25].map((factor) => 0.003 * factor);
    rates.forEach(({ lr }, i) => {
      expect(lr).toBeCloseTo(expected[i] ?? NaN, 12);
    });
  });
});

describe('the end of a run', () => {
  test('--early-stop ends it that many epochs after the best, also when it is resumed', async () => {
    // With a rate of 0 only the running statistics change; they may still improve on the first epoch.
    const options = { epochs: 30, lr: 0, earlyStop: 2 } as const;
    const stopped = await run('early', options);
    const last = (await records(stopped)).at(-1)?.epoch ?? 0;
    expect(last).toBe(stopped.bestEpoch + 2);
    expect(last).toBeLessThan(30);
    const events: TrainEvent[] = [];
    await train({ resume: stopped.runDir, onEvent: (event) => events.push(event) });
    expect(events.map(({ type }) => type)).toEqual(['end']);
    const more = await train({ resume: stopped.runDir, earlyStop: 3 });
    expect((await records(more)).at(-1)?.epoch).toBeGreaterThan(last);
  });

  test('other settings, and with a cosine other epochs, are refused when a run is resumed', async () => {
    const first = await run('fixed', { epochs: 2, schedule: 'cosine', labelSmoothing: 0.1 });
    const attempt = train({ resume: first.runDir, epochs: 3, labelSmoothing: 0.2 });
    await expect(attempt).rejects.toThrow(ConfigError);
    await expect(attempt).rejects.toThrow(/labelSmoothing was 0.1, is 0.2/);
    await expect(attempt).rejects.toThrow(/epochs was 2, is 3 \(a cosine schedule depends on it\)/);
  });
});

test('--config takes the settings of an earlier run, and flags win', async () => {
  const first = await run('origin', { batchSize: 5, gamma: 0.5 });
  const config = path.join(dir, 'settings.json');
  await rename(path.join(first.runDir, 'config.json'), config);
  const words = ['train', '--config', config, '--gamma', '0.25', '--out', 'copy', '--quiet'];
  const call = (more: string[]): Promise<string> =>
    new Promise((resolve) => {
      execFile(process.execPath, [CLI, ...words, ...more], { cwd: dir }, (_, out, err) => {
        resolve(out + err);
      });
    });
  expect(await call([])).toBe('');
  const copy = JSON.parse(await readFile(path.join(dir, 'copy', 'config.json'), 'utf8')) as Record<
    string,
    unknown
  >;
  expect(copy).toMatchObject({ batchSize: 5, gamma: 0.25, lr: 0.003, seed: 1, epochs: 1, data });
  expect(await call(['--resume', 'copy'])).toMatch(
    /^error: expected --config or --resume, got both/,
  );
});
