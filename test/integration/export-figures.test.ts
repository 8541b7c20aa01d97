/**
 * Holds: a figure is about the thing it is printed beside. The difference that an export prints is the written file's,
 * in every form, and tolerances follow the scale of the logits.
 */

import { mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { predictionsFile } from '../../src/checkpoint/predictions-file.js';
import type { ExportOptions } from '../../src/config/export-options.js';
import type { ExportResult } from '../../src/export/export-inference.js';
import { train, type TrainResult } from '../../src/index.js';
import { loadPredictions } from '../../src/platform/node/defaults.js';
import { exportInference } from '../../src/platform/node/library.js';
import { TINY } from '../support/paths.js';
import { makeData } from '../support/run-process.js';
import { trainTiny } from '../support/trained-run.js';

let dir: string;
let result: TrainResult;

function exported(name: string, more: Partial<ExportOptions> = {}): Promise<ExportResult> {
  const out = path.join(dir, name);
  return exportInference({ run: result.runDir, checkpoint: 'best', out, ...more });
}

beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'export-figures-'));
  result = await trainTiny(dir);
});
afterAll(async () => {
  await rm(dir, { recursive: true });
});

describe('the printed difference is that of the written file', () => {
  test.each([
    ['plain', {}, 'logits', [0, 1e-5]],
    ['fp16', { compression: 'fp16' }, 'logits', [1e-5, 2e-2]],
    ['int8', { compression: 'int8' }, 'logits', [1e-3, 0.5]],
    ['probabilities', { probabilities: true }, 'probabilities', [0, 1e-6]],
    [
      'probabilities of int8',
      { probabilities: true, compression: 'int8' },
      'probabilities',
      [1e-4, 0.2],
    ],
    ['raw images in fp16', { rawImages: true, compression: 'fp16' }, 'logits', [1e-6, 2e-2]],
    ['raw images', { rawImages: true }, 'logits', [0, 1e-5]],
  ] as const)('%s', async (_, form, output, [least, most]) => {
    const found = await exported('measured.onnx', {
      ...form,
      ...('compression' in form ? { maxAccuracyDrop: 0.2 } : {}),
    });
    expect(found.output).toBe(output);
    expect(found.maxDifference).toBeGreaterThanOrEqual(least);
    expect(found.maxDifference).toBeLessThanOrEqual(most);
  });
});

test('a run whose validation images were a share of train is not tried on a later valid/', async () => {
  const data = await makeData(path.join(dir, 'shared'), 8, 8);
  const aside = path.join(dir, 'aside');
  await rename(path.join(data, 'val'), aside);
  const { runDir } = await train({
    ...{ data, out: path.join(dir, 'run-of-share'), epochs: 2, lr: 0.003, valFraction: 0.25 },
    ...({ artifacts: TINY, weights: 'random', device: 'cpu', workers: 1 } as const),
  });
  // Images of the same names, in the wrong classes.
  const [one, other, third] = ['red', 'blue', 'between'].map((name) => path.join(aside, name));
  await rename(one ?? '', third ?? '');
  await rename(other ?? '', one ?? '');
  await rename(third ?? '', other ?? '');
  await rename(aside, path.join(data, 'valid'));
  const { replay } = await exportInference({ run: runDir, out: path.join(dir, 'share.onnx') });
  expect(replay?.differing).toBe(0);
  expect(replay?.accuracy).toBe(replay?.expectedAccuracy);
});

describe('tolerances grow with the logits', () => {
  const astray = async (epochs: number): Promise<string> => {
    const found = await train({
      ...{ data: path.join(dir, 'data'), artifacts: TINY, weights: 'random', workers: 1 },
      ...({ device: 'cpu', epochs, freeze: 'backbone', lr: 0.001, headLr: 1000, seed: 1 } as const),
      out: path.join(dir, `astray-${epochs}`),
    });
    return found.runDir;
  };

  test.each([2, 4, 7])('a head trained at a rate of 1000 for %d epochs', async (epochs) => {
    const run = await astray(epochs);
    const saved = await loadPredictions(predictionsFile(run, 'last'));
    expect(Math.max(...saved.logits.map(Math.abs))).toBeGreaterThan(1000);
    for (const probabilities of [false, true]) {
      const out = path.join(dir, 'astray.onnx');
      const found = await exportInference({ run, checkpoint: 'last', out, probabilities });
      expect(found.replay?.differing).toBe(0);
    }
  });
});
