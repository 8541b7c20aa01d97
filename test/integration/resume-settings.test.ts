/** Tests which settings may differ when a run is resumed, and which may not. */

import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openArtifacts } from '../../src/platform/node/defaults.js';
import { loadCheckpoint, saveCheckpoint } from '../../src/platform/node/defaults.js';
import { InterruptedError } from '../../src/common/errors.js';
import { train, type TrainOptions, type TrainSettings } from '../../src/index.js';
import type { SettingsWith } from '../../src/config/train-settings.js';
import { makeData, outcome, type Outcome } from '../support/run-process.js';
import { TINY } from '../support/paths.js';

let dir: string;
let runDir: string;
let reference: Outcome;
let number = 0;
beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'resume-settings-test-'));
  process.env.ORT_FINETUNE_CACHE = path.join(dir, 'cache');
  await makeData(path.join(dir, 'data'), 9, 4);
  await train(settings('reference'));
  reference = await outcome(path.join(dir, 'reference'));
  await stopped(settings('stopped'));
});
afterAll(async () => {
  await rm(dir, { recursive: true });
});
beforeEach(async () => {
  runDir = path.join(dir, `copy-${++number}`);
  await cp(path.join(dir, 'stopped'), runDir, { recursive: true });
});

function settings(out: string, more: Partial<TrainOptions> = {}): TrainOptions {
  return {
    ...{ data: path.join(dir, 'data'), artifacts: TINY, out: path.join(dir, out) },
    ...{ weights: 'random', device: 'cpu', threads: 1, workers: 2, epochs: 2, lr: 0.02 },
    ...more,
  };
}

/** Starts a run and stops it after two steps. */
async function stopped(options: TrainOptions): Promise<string> {
  const stop = new AbortController();
  const onEvent: TrainOptions['onEvent'] = ({ type }) => {
    if (type === 'step') stop.abort();
  };
  const run = train({ ...options, saveEvery: 2, signal: stop.signal, onEvent });
  await expect(run).rejects.toThrow(InterruptedError);
  return options.out ?? '';
}

const resume = (run: string, more: Partial<TrainOptions> = {}): Promise<unknown> =>
  train({ resume: run, ...more });

/** Settings that the result depends on, with other values. A new setting must be here, or have `resume`. */
const ALTERING: Omit<TrainSettings, SettingsWith<'resume'>> = {
  ...{ weights: 'imagenet', batchSize: 5, lr: 0.03, headLr: 0.1, freeze: 'backbone' },
  ...{ momentum: 0.8, nesterov: true, clipGradNorm: 1, weightDecay: 0.1, schedule: 'cosine' },
  ...{ warmupEpochs: 1, stepSize: 3, gamma: 0.2, classWeights: 'auto', labelSmoothing: 0.1 },
  ...{ valFraction: 0.2, exif: 'apply', seed: 9, threads: 2 },
};

test.each(Object.entries(ALTERING))('%s must not differ', async (option, value) => {
  await expect(resume(runDir, { [option]: value })).rejects.toThrow(`${option} was `);
});

test('all differences are listed', async () => {
  await expect(resume(runDir, { lr: 0.1, seed: 4, epochs: 1 })).rejects.toThrow(
    /lr was 0.02, is 0.1; seed was 0, is 4; epochs was 2, is 1 \(it may only grow\)/,
  );
});

test('the harmless settings may differ: the bits are the same', async () => {
  const harmless: Omit<
    Required<Pick<TrainSettings, SettingsWith<'resume'>>>,
    'device' | 'epochs'
  > = {
    ...{ workers: 1, cache: 'ram', cacheMegabytes: 9, keep: 5, saveEvery: 4 },
    ...{ earlyStop: 90, onBadImage: 'skip' },
  };
  await resume(runDir, { ...harmless, epochs: 2, device: 'cpu' });
  expect(await outcome(runDir)).toEqual(reference);
});

test('a setting that the version of the run did not have counts as the default', async () => {
  const file = path.join(runDir, 'checkpoints', 'last.safetensors');
  const { state, run } = await loadCheckpoint(file, (await openArtifacts(TINY)).manifest);
  const { nesterov, ...config } = run.config as { nesterov: boolean };
  expect(nesterov).toBe(false);
  await saveCheckpoint(file, { state, run: { ...run, config } });
  await expect(resume(runDir, { nesterov: true })).rejects.toThrow('nesterov was false, is true');
  await resume(runDir, { nesterov: false });
  expect(await outcome(runDir)).toEqual(reference);
});

describe('class weights', () => {
  const file = (): string => path.join(dir, 'class-weights.json');
  const write = (red: number): Promise<void> => writeFile(file(), JSON.stringify({ red, blue: 1 }));

  test('from the same file by another path are equal, from a file with other contents they are not', async () => {
    await write(2);
    const options = settings('weighted', { classWeights: file() });
    const weighted = await stopped(options);
    await write(3);
    await expect(resume(weighted)).rejects.toThrow(': the class weights are not the same;');
    await write(2);
    await resume(weighted, { classWeights: path.relative('', file()) });
    await train({ ...options, out: path.join(dir, 'weighted-whole') });
    expect(await outcome(weighted)).toEqual(await outcome(path.join(dir, 'weighted-whole')));
  });
});

test('artifacts with other crops are refused', async () => {
  const other = path.join(dir, 'other-crops');
  await cp(TINY, other, { recursive: true });
  const manifest = path.join(other, 'manifest.json');
  const content = JSON.parse(await readFile(manifest, 'utf8')) as { preprocessing: object };
  const preprocessing = { ...content.preprocessing, flipProbability: 0.25 };
  await writeFile(manifest, JSON.stringify({ ...content, preprocessing }));
  await expect(resume(runDir, { artifacts: other })).rejects.toThrow(
    'graphs or preprocessing are not the same',
  );
});
