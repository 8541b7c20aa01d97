import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Artifacts } from '../../../src/artifacts/open-artifacts.js';
import { openArtifacts } from '../../../src/platform/node/defaults.js';
import type { Checkpoint } from '../../../src/checkpoint/checkpoint.js';
import { loadCheckpoint, saveCheckpoint } from '../../../src/platform/node/defaults.js';
import { WeightsError } from '../../../src/common/errors.js';
import { encodeSafetensors } from '../../../src/weights/safetensors.js';
import { readSafetensors } from '../../../src/platform/node/defaults.js';
import { float32Tensor, int64Scalar } from '../../../src/common/tensor.js';
import { initialState } from '../../../src/platform/node/defaults.js';
import { TINY } from '../../support/paths.js';

let artifacts: Artifacts;
let folder = '';
let checkpoint: Checkpoint;
beforeEach(async () => {
  artifacts = await openArtifacts(TINY);
  folder = await mkdtemp(path.join(tmpdir(), 'checkpoint-'));
  const { state } = await initialState(artifacts, { weights: 'random', classes: 3, seed: 1 });
  state.set('momentum.fc.bias', float32Tensor([3], Float32Array.of(1, -2, 1e-30)));
  state.set('bn1.num_batches_tracked', int64Scalar(2n ** 53n + 1n));
  checkpoint = {
    state,
    run: {
      arch: 'tiny',
      classes: ['ants', 'bees "x"', '蜂'],
      epoch: 4,
      step: 17,
      partial: {
        batch: 3,
        images: 12,
        lossSum: 0.1 + 0.2,
        correct: 7,
        seconds: 1.5,
        dataWaitSeconds: 1 / 3,
      },
      best: { epoch: 3, accuracy: 0.95, loss: 0.1 },
      records: [
        {
          ...{ epoch: 1, phase: 'train', loss: Math.PI, accuracy: 1 / 3, lr: 1e-7 },
          ...{ images: 12, seconds: 2, dataWaitSeconds: 0 },
        },
      ],
      fingerprints: { data: 'd', artifacts: 'a' },
      config: { lr: 0.001, data: 'some/folder' },
    },
  };
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

async function loadError(file: string): Promise<string> {
  const error: unknown = await loadCheckpoint(file, artifacts.manifest).then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(WeightsError);
  return (error as WeightsError).message;
}

test('what is saved is loaded, bit for bit', async () => {
  const file = path.join(folder, 'last.safetensors');
  await saveCheckpoint(file, checkpoint);
  expect(await loadCheckpoint(file, artifacts.manifest)).toEqual(checkpoint);
  const first = await readFile(file);
  await saveCheckpoint(file, checkpoint);
  expect(first.equals(await readFile(file))).toBe(true);
  expect(await readdir(folder)).toEqual(['last.safetensors']);
});

test('before the first validation there is no best', async () => {
  const file = path.join(folder, 'last.safetensors');
  const run = { ...checkpoint.run, best: null, config: undefined };
  await saveCheckpoint(file, { ...checkpoint, run });
  const loaded = await loadCheckpoint(file, artifacts.manifest);
  expect(loaded.run).toEqual({ ...run, config: null });
});

test.each([
  ['a missing tensor', 'momentum.conv1.weight', null, /momentum\.conv1\.weight.*found none/],
  [
    'a head of another class count',
    'fc.bias',
    float32Tensor([4], new Float32Array(4)),
    /fc\.bias of float32 \[3\].*found float32 \[4\]/,
  ],
  ['a tensor too many', 'layer9.weight', int64Scalar(1n), /found layer9\.weight/],
])('%s is refused', async (_, name, tensor, message) => {
  checkpoint.state.delete(name);
  if (tensor !== null) checkpoint.state.set(name, tensor);
  const file = path.join(folder, 'last.safetensors');
  await saveCheckpoint(file, checkpoint);
  expect(await loadError(file)).toMatch(message);
});

test('a checkpoint of another architecture is refused', async () => {
  const file = path.join(folder, 'last.safetensors');
  await saveCheckpoint(file, { ...checkpoint, run: { ...checkpoint.run, arch: 'resnet18' } });
  expect(await loadError(file)).toMatch(/of tiny in .*found one of resnet18/);
});

test.each([
  ['progress', ''],
  ['progress', '{"epoch":-1,"step":0,"partial":null,"best":null}'],
  ['progress', '{"epoch":1,"step":0.5,"partial":null,"best":null}'],
  ['progress', '{"epoch":1,"step":0,"best":null}'],
  ['progress', '{"epoch":1,"step":1,"partial":{"batch":1},"best":null}'],
  ['progress', '{"epoch":1,"step":0,"partial":null,"best":{"epoch":1,"accuracy":"1","loss":0}}'],
  ['metrics', '[{"epoch":1}]'],
  ['fingerprints', '{"data":1}'],
  ['progress', 'null'],
  ['classes', '[1,2]'],
  ['classes', '{'],
])('damaged %s (%s) is refused', async (key, value) => {
  const file = path.join(folder, 'last.safetensors');
  await saveCheckpoint(file, checkpoint);
  const { tensors, metadata } = await readSafetensors(file);
  const changed = { ...Object.fromEntries(metadata), [key]: value };
  await writeFile(file, Buffer.concat(encodeSafetensors(tensors, changed)));
  expect(await loadError(file)).toMatch(/metadata .*missing or damaged/);
});

test('a single changed bit anywhere is noticed', async () => {
  const file = path.join(folder, 'last.safetensors');
  await saveCheckpoint(file, checkpoint);
  const whole = await readFile(file);
  // Every 4999th byte, in the header, the metadata and the tensors, and the last one.
  const places = Array.from({ length: Math.ceil(whole.length / 4999) }, (_, i) => i * 4999);
  for (const place of [...places, whole.length - 1]) {
    const damaged = Buffer.from(whole);
    damaged[place] = (damaged[place] ?? 0) ^ (1 << (place % 8));
    await writeFile(file, damaged);
    await expect(loadCheckpoint(file, artifacts.manifest)).rejects.toThrow(WeightsError);
  }
});

test('weights that are not finite are not written', async () => {
  const file = path.join(folder, 'last.safetensors');
  await saveCheckpoint(file, checkpoint);
  const before = await readFile(file);
  checkpoint.state.set('fc.bias', float32Tensor([3], Float32Array.of(1, NaN, 1)));
  await expect(saveCheckpoint(file, checkpoint)).rejects.toThrow(/finite values in fc\.bias/);
  expect(before.equals(await readFile(file))).toBe(true);
});

test('weights that are no checkpoint, and a missing file', async () => {
  const file = path.join(folder, 'weights.safetensors');
  await writeFile(file, Buffer.concat(encodeSafetensors(checkpoint.state)));
  expect(await loadError(file)).toMatch(/found a file without run state.*--weights/);
  expect(await loadError(path.join(folder, 'none'))).toMatch(/no such file/);
});

test('a checkpoint can start a new run as weights', async () => {
  const file = path.join(folder, 'best.safetensors');
  await saveCheckpoint(file, checkpoint);
  const { state } = await initialState(artifacts, { weights: file, classes: 2, seed: 9 });
  expect(state.get('conv1.weight')).toEqual(checkpoint.state.get('conv1.weight'));
  expect(state.get('momentum.fc.bias')?.data).toEqual(new Float32Array(2));
});
