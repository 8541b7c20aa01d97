import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { nextRunDir } from '../../../src/config/run-dir.js';
import { TRAIN_OPTIONS, resolveTrainOptions } from '../../../src/config/train-options.js';
import { SETTINGS, TRAIN_DEFAULTS } from '../../../src/config/train-settings.js';
import { flagName } from '../../../src/config/validator.js';
import { ConfigError } from '../../../src/common/errors.js';
import { optionsFrom } from '../../../src/cli/flags.js';
import { nearest } from '../../../src/config/nearest.js';
import { parseCall } from '../../../src/cli/parser.js';
import { TRAIN } from '../../../src/cli/train.js';

const folder = mkdtempSync(path.join(os.tmpdir(), 'config-test-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const data = folder;
const resolve = (options: object): ReturnType<typeof resolveTrainOptions> =>
  resolveTrainOptions({ data, out: path.join(folder, 'new'), ...options });

describe('resolveTrainOptions', () => {
  test("the defaults are the tutorial's", () => {
    expect(resolve({})).toEqual({
      data,
      out: path.join(folder, 'new'),
      weights: 'imagenet',
      epochs: 25,
      batchSize: 4,
      lr: 0.001,
      headLr: 0,
      schedule: 'step',
      warmupEpochs: 0,
      classWeights: 'none',
      labelSmoothing: 0,
      valFraction: 0.15,
      earlyStop: 0,
      freeze: 'none',
      momentum: 0.9,
      nesterov: false,
      clipGradNorm: 0,
      weightDecay: 0,
      stepSize: 7,
      gamma: 0.1,
      workers: 4,
      cache: 'none',
      cacheMegabytes: 2000,
      seed: 0,
      device: 'auto',
      threads: 0,
      saveEvery: 0,
      keep: 2,
      onBadImage: 'stop',
      exif: 'ignore',
    });
  });

  test('every number has its range, ends included', () => {
    for (const [option, entry] of Object.entries(SETTINGS)) {
      if (entry.kind !== 'integer' && entry.kind !== 'number') continue;
      const { min, max, kind } = entry;
      const more = option === 'cacheMegabytes' ? { cache: 'ram' } : {};
      expect(resolve({ ...more, [option]: min })).toMatchObject({ [option]: min });
      expect(resolve({ ...more, [option]: max })).toMatchObject({ [option]: max });
      const bad: unknown[] = [min - 1, max + 1, NaN, Infinity, '4', null, {}];
      if (kind === 'integer') bad.push(min + 0.5);
      for (const value of bad) {
        expect(() => resolve({ [option]: value })).toThrow(ConfigError);
      }
    }
  });

  test('the size of a cache that is off is refused, except for a run that is resumed', () => {
    const expected = 'expected cacheMegabytes to be left out without cache ram, got 9';
    expect(() => resolve({ cacheMegabytes: 9 })).toThrow(expected);
    expect(() => resolve({ cacheMegabytes: 9, cache: 'none' })).toThrow(expected);
    const flags = { data, out: 'x', cacheMegabytes: 9 };
    expect(() => resolveTrainOptions(flags, 'flag')).toThrow('without --cache ram');
    expect(resolve({ cacheMegabytes: 9, resume: 'x' }).cacheMegabytes).toBe(9);
  });

  test('a message says what was expected, what was given and what to do', () => {
    expect(() => resolve({ batchSize: 2.5 })).toThrow(
      'expected batchSize to be a whole number from 1 to 4096, got 2.5; the default is 4',
    );
    expect(() => resolveTrainOptions({ data, out: 'x', batchSize: 'two' }, 'flag')).toThrow(
      'expected --batch-size to be a whole number from 1 to 4096, got "two"; ',
    );
  });

  test('device and weights', () => {
    expect(() => resolve({ device: 'tpu' })).toThrow(/one of auto, cpu, cuda, webgpu, got "tpu"/);
    expect(() => resolve({ weights: 'imagnet' })).toThrow(/there is no file of that name/);
    const file = path.join(folder, 'weights.pth');
    writeFileSync(file, '');
    expect(resolve({ weights: file }).weights).toBe(file);
    expect(() => resolve({ weights: folder })).toThrow(/that is no file/);
    const best = path.join(folder, 'run', 'checkpoints', 'best.safetensors');
    mkdirSync(path.dirname(best), { recursive: true });
    writeFileSync(best, '');
    const run = path.join(folder, 'run');
    expect(() => resolve({ weights: run })).toThrow(`that is a run folder; use ${best}`);
  });

  test('Nesterov momentum is on or off, and needs momentum', () => {
    expect(() => resolve({ nesterov: 'yes' })).toThrow(/nesterov to be true or false, got "yes"/);
    expect(() => resolve({ nesterov: true, momentum: 0 })).toThrow(
      'expected momentum to be above 0 with Nesterov momentum, got 0; leave out nesterov',
    );
    expect(resolve({ nesterov: true, freeze: 'backbone' })).toMatchObject({ nesterov: true });
    expect(() => resolve({ freeze: 'head' })).toThrow(/one of none, backbone, got "head"/);
  });

  test('the network is one that was built, or what the artifacts say', () => {
    expect(resolve({ arch: 'resnet50' }).arch).toBe('resnet50');
    expect(() => resolve({ arch: 'resnet101' })).toThrow(
      /one of .*mobilenet_v2, .*resnet18, resnet34, resnet50/,
    );
    expect(() => resolve({ arch: 'resnet34', artifacts: folder })).toThrow(
      'expected arch to be left out where the artifacts say which network',
    );
  });

  test('data must be a folder unless both data sets are given', () => {
    expect(() => resolve({ data: undefined })).toThrow(
      /expected data to be a folder .* got nothing/,
    );
    expect(() => resolve({ data: path.join(folder, 'nowhere') })).toThrow(/does not exist/);
    const trainDataset = {} as never;
    const valDataset = {} as never;
    const out = path.join(folder, 'new');
    expect(() => resolveTrainOptions({ trainDataset, out })).toThrow(ConfigError);
    expect(resolveTrainOptions({ trainDataset, valDataset, out })).toMatchObject({
      trainDataset,
      valDataset,
    });
  });

  test('a run folder with something in it is not written to', () => {
    const out = path.join(folder, 'used');
    mkdirSync(out);
    expect(resolve({ out }).out).toBe(out);
    writeFileSync(path.join(out, 'config.json'), '{}');
    expect(() => resolve({ out })).toThrow(/a new or empty folder.*exists already/);
  });

  test('nor is one below a file', () => {
    const file = path.join(folder, 'file');
    writeFileSync(file, '');
    const out = path.join(file, 'runs', 'one');
    expect(() => resolve({ out })).toThrow(`${file} is a file; choose another name`);
    const fresh = path.join(folder, 'new', 'runs', 'one');
    expect(resolve({ out: fresh }).out).toBe(fresh);
  });
});

test('run folders are numbered after the highest there is', () => {
  const runs = path.join(folder, 'runs');
  expect(nextRunDir('train', runs)).toBe(path.join(runs, 'train-1'));
  for (const name of ['train-2', 'train-10', 'train-x', 'demo-40']) {
    mkdirSync(path.join(runs, name), { recursive: true });
  }
  expect(nextRunDir('train', runs)).toBe(path.join(runs, 'train-11'));
  expect(nextRunDir('demo', runs)).toBe(path.join(runs, 'demo-41'));
});

describe('flags', () => {
  test('every setting has one', () => {
    const named = Object.keys(TRAIN_DEFAULTS).map((option) =>
      option.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`),
    );
    expect(Object.keys(TRAIN.options).map(flagName)).toEqual(
      expect.arrayContaining([...named, 'data', 'out']),
    );
  });

  test('numbers become numbers, everything else stays text', async () => {
    const words = '--batch-size 16 --lr 1e-3 --out 007 --seed 0x10 --epochs'.split(' ');
    const call = await parseCall(['train', ...words]);
    expect(optionsFrom(TRAIN_OPTIONS, call?.given ?? {})).toEqual({
      batchSize: 16,
      lr: 0.001,
      out: '007',
      seed: '0x10',
      epochs: true,
    });
  });

  test('the nearest name is suggested only when it is near', () => {
    const known = ['lr', 'batch-size', 'epochs'];
    expect(nearest('btach-size', known)).toBe('batch-size');
    expect(nearest('batchSize', known)).toBe('batch-size');
    expect(nearest('x', known)).toBeUndefined();
    expect(nearest('colour', known)).toBeUndefined();
  });
});
