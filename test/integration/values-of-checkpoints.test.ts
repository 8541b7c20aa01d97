/** Holds: values that are not finite are found when a checkpoint is read, by file and tensor, whoever reads it. */

import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { WeightsError } from '../../src/common/errors.js';
import { evaluate, exportInference, findLr, predict, train } from '../../src/index.js';
import { readSafetensors } from '../../src/platform/node/defaults.js';
import { encodeSafetensors } from '../../src/weights/safetensors.js';
import { ROOT, SAMPLES, TINY } from '../support/paths.js';

let dir: string;
let run: string;
beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'values-'));
  run = path.join(dir, 'run');
  await cp(path.join(ROOT, 'test', 'fixtures', 'run-0.1.0', 'run'), run, { recursive: true });
});
afterAll(async () => {
  await rm(dir, { recursive: true });
});

/** Puts values into a tensor of a checkpoint, whose checksum is right all the same. */
async function poison(name: string, tensor: string, ...values: number[]): Promise<string> {
  const file = path.join(run, 'checkpoints', `${name}.safetensors`);
  const whole = path.join(ROOT, 'test', 'fixtures', 'run-0.1.0', 'run', 'checkpoints');
  const { tensors, metadata } = await readSafetensors(path.join(whole, `${name}.safetensors`));
  (tensors.get(tensor)?.data as Float32Array).set(values, 1);
  metadata.delete('sha256');
  const rest = Object.fromEntries(metadata);
  const hash = createHash('sha256');
  for (const chunk of encodeSafetensors(tensors, rest)) hash.update(chunk);
  const sha256 = hash.digest('hex');
  await writeFile(file, Buffer.concat(encodeSafetensors(tensors, { ...rest, sha256 })));
  return file;
}

const shared = { artifacts: TINY, device: 'cpu', threads: 1, workers: 1 } as const;

test.each<[string, (best: string, out: string) => Promise<unknown>]>([
  ['exportInference', (_, out) => exportInference({ run, artifacts: TINY, out, skipReplay: true })],
  ['evaluate', () => evaluate({ run, artifacts: TINY, data: SAMPLES })],
  [
    'predict',
    async () => {
      for await (const found of predict({ run, artifacts: TINY, images: SAMPLES }))
        expect(found).toBeNull();
    },
  ],
  ['train', (weights, out) => train({ ...shared, data: SAMPLES, weights, out, epochs: 1 })],
  ['findLr', (weights) => findLr({ ...shared, data: SAMPLES, weights })],
  ['train, resumed from it', (resume) => train({ ...shared, resume, data: SAMPLES })],
])('%s', async (_, use) => {
  const best = await poison('best', 'layer1.0.conv1.weight', NaN, NaN);
  const out = path.join(dir, 'out');
  const found: unknown = await use(best, out).catch((error: unknown) => error);
  expect(found).toBeInstanceOf(WeightsError);
  expect((found as Error).message).toBe(
    `expected finite values in ${best}, found NaN in layer1.0.conv1.weight (2 of 576 values); ` +
      'use weights from before the training went wrong, or fetch the file again',
  );
  expect(existsSync(out)).toBe(false);
});

test.each([
  ['momentum', 'momentum.fc.weight', Infinity, 'infinity in momentum.fc.weight (1 of'],
  ['the head', 'fc.bias', NaN, 'NaN in fc.bias (1 of'],
])('%s of a checkpoint is needed to resume', async (_, tensor, value, message) => {
  const resume = await poison('last', tensor, value);
  await expect(train({ ...shared, resume, data: SAMPLES })).rejects.toThrow(message);
});
