/** Compares losses and schedules with PyTorch's figures (scripts/fixtures/settings.py). */

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { softmax } from '../../src/metrics/logits.js';
import { readConfigFile } from '../../src/config/config-file.js';
import { resolveTrainOptions } from '../../src/config/train-options.js';
import { ConfigError } from '../../src/common/errors.js';
import { isStalled } from '../../src/train/training-run.js';
import { learningRates, type ScheduleSettings } from '../../src/train/lr-schedule.js';
import { resolveClassWeights } from '../../src/data/class-weights.js';
import { targetRows } from '../../src/train/loss-targets.js';
import { ROOT } from '../support/paths.js';

interface Fixtures {
  readonly losses: {
    weight: number[] | null;
    smoothing: number;
    logits: number[][];
    labels: number[];
    loss: number;
    gradient: number[][];
  }[];
  readonly schedules: ({ warmup: number; lr: number; rates: number[] } & ScheduleSettings)[];
}

const text = await readFile(path.join(ROOT, 'test', 'fixtures', 'settings.json'), 'utf8');
const { losses, schedules } = JSON.parse(text) as Fixtures;
let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'settings-test-'));
});
afterAll(async () => {
  await rm(dir, { recursive: true });
});

describe('the targets of the training loss', () => {
  test.each(losses)(
    "give PyTorch's loss and gradient: weights $weight, smoothing $smoothing",
    ({ weight, smoothing, logits, labels, ...expected }) => {
      const settings = { classWeights: weight ?? undefined, labelSmoothing: smoothing };
      const targets = targetRows(Int32Array.from(labels), 3, settings);
      let loss = 0;
      const gradient = logits.map((row, i) => {
        // The graph computes the loss -sum(T log p) and the gradient p * sum(T) - T.
        const p = softmax(Float32Array.from(row), 0, 3);
        const target = targets.subarray(i * 3, i * 3 + 3);
        const sum = target.reduce((a, b) => a + b, 0);
        target.forEach((share, c) => {
          if (share > 0) loss -= share * Math.log(p[c] ?? NaN);
        });
        return [...p].map((share, c) => share * sum - (target[c] ?? NaN));
      });
      expect(loss).toBeCloseTo(expected.loss, 5);
      gradient.forEach((row, i) => {
        row.forEach((value, c) => {
          expect(value).toBeCloseTo(expected.gradient[i]?.[c] ?? NaN, 6);
        });
      });
    },
  );

  test('are one-hot rows divided by the batch size, to the bit, without weights or smoothing', () => {
    for (const labels of [Int32Array.of(1, 0, 2), Int32Array.of(2), new Int32Array(7)]) {
      const rows = [...labels].flatMap((label) =>
        [0, 1, 2].map((c) => (c === label ? 1 / labels.length : 0)),
      );
      expect(targetRows(labels, 3)).toEqual(Float32Array.from(rows));
    }
  });
});

test.each(schedules)(
  "$schedule with $warmup epochs of warm-up has PyTorch's rates",
  ({ lr, warmup, rates, ...settings }) => {
    const [stepsPerEpoch, headLr] = [7, 0];
    const all = { ...settings, lr, headLr, warmupEpochs: warmup };
    const found = rates.map(
      (_, epoch) => learningRates(epoch * stepsPerEpoch, stepsPerEpoch, all).lr,
    );
    found.forEach((rate, epoch) => {
      expect(Math.abs(rate - (rates[epoch] ?? NaN))).toBeLessThan(1e-15);
    });
  },
);

describe('class weights', () => {
  const labels = [0, 0, 0, 1, 2, 2];
  const dataset = {
    length: labels.length,
    classes: ['a', 'b', 'c'],
    get: (index: number) => ({ image: '', label: labels[index] ?? 0 }),
  };
  const file = async (content: string): Promise<string> => {
    await writeFile(path.join(dir, 'weights.json'), content);
    return path.join(dir, 'weights.json');
  };

  const read = (name: string): Promise<Uint8Array> => readFile(name);

  test('none, auto (as compute_class_weight("balanced")), and a file', async () => {
    expect(await resolveClassWeights('none', dataset, read)).toBeUndefined();
    expect(await resolveClassWeights('auto', dataset, read)).toEqual([2 / 3, 2, 1]);
    const given = await file('{"c": 3, "a": 1, "b": 0.5}');
    expect(await resolveClassWeights(given, dataset, read)).toEqual([1, 0.5, 3]);
  });

  test.each([
    ['[1, 2, 3]', 'found something that is not an object'],
    ['{"a": 1', 'found something that is not JSON'],
    ['{"a": 1, "b": 1}', 'found null for "c"'],
    ['{"a": 1, "b": 1, "c": -1}', 'found -1 for "c"'],
    ['{"a": 1, "b": 1, "c": 1, "d": 1}', 'the class "d", which is unknown'],
    ['{"a": 1, "b": 1, "c": 1, "a": 2}', 'found "a" twice in one object'],
  ])('refuses %s', async (content, message) => {
    const attempt = resolveClassWeights(await file(content), dataset, read);
    await expect(attempt).rejects.toThrow(ConfigError);
    await expect(attempt).rejects.toThrow(message);
  });
});

describe('class weights of names with accents, from Windows', () => {
  const dataset = {
    length: 2,
    classes: ['caf\u00e9', 'the\u0301'],
    get: (label: number) => ({ image: '', label }),
  };
  const text = '{"cafe\u0301": 2, "th\u00e9": 3}';

  test.each([
    ['UTF-8', Buffer.from(text)],
    ['UTF-8 with a byte order mark', Buffer.from(`\uFEFF${text}`)],
    ['UTF-16', Buffer.from(`\uFEFF${text}`, 'utf16le')],
  ])('%s', async (_, bytes) => {
    const found = await resolveClassWeights('w.json', dataset, () => Promise.resolve(bytes));
    expect(found).toEqual([2, 3]);
  });

  test('both forms of one name are refused', async () => {
    const twice = Buffer.from('{"cafe\u0301": 2, "caf\u00e9": 3, "th\u00e9": 1}');
    const attempt = resolveClassWeights('w.json', dataset, () => Promise.resolve(twice));
    await expect(attempt).rejects.toThrow('found the class "café" twice');
  });

  test('a missing file is not called bad JSON', async () => {
    const attempt = resolveClassWeights('none.json', dataset, (name) => readFile(name));
    await expect(attempt).rejects.toThrow('found no file that can be read');
  });
});

test('a run is stalled when its patience is over', () => {
  const best = { epoch: 3, accuracy: 0.5, loss: 1 };
  expect(isStalled({ epoch: 4, best }, 2)).toBe(false);
  expect(isStalled({ epoch: 5, best }, 2)).toBe(true);
  expect(isStalled({ epoch: 5, best }, 0)).toBe(false);
  expect(isStalled({ epoch: 5, best: null }, 2)).toBe(false);
});

describe('settings from a file', () => {
  const write = async (content: string): Promise<string> => {
    await writeFile(path.join(dir, 'config.json'), content);
    return path.join(dir, 'config.json');
  };

  test('are those of the run, without what was only a fact of it', async () => {
    const stored = {
      lr: 0.5,
      schedule: 'cosine',
      data: dir,
      arch: 'tiny',
      out: 'x',
      provider: 'cpu',
    };
    const own = readConfigFile(await write(JSON.stringify({ ...stored, artifacts: dir })));
    expect(own).toEqual({ lr: 0.5, schedule: 'cosine', data: dir, artifacts: dir });
    const found = readConfigFile(await write(JSON.stringify({ ...stored, arch: 'resnet34' })));
    expect(found).toEqual({ lr: 0.5, schedule: 'cosine', data: dir, arch: 'resnet34' });
    const resolved = resolveTrainOptions({ ...found, lr: 0.1, out: path.join(dir, 'new') });
    expect(resolved).toMatchObject({ lr: 0.1, schedule: 'cosine', epochs: 25 });
  });

  test.each([
    ['{"lrr": 1}', 'found the setting "lrr"'],
    ['[]', 'found no object'],
    ['lr=1', 'found something that is not JSON'],
  ])('refuses %s', async (content, message) => {
    const name = await write(content);
    expect(() => readConfigFile(name)).toThrow(ConfigError);
    expect(() => readConfigFile(name)).toThrow(message);
  });

  test('a missing file is named', () => {
    expect(() => readConfigFile(path.join(dir, 'none.json'))).toThrow(/none\.json, found no file/);
  });
});
