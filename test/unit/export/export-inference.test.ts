import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { copyFile, cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Artifacts } from '../../../src/artifacts/open-artifacts.js';
import { openArtifacts } from '../../../src/platform/node/defaults.js';
import { ArtifactError, WeightsError } from '../../../src/common/errors.js';
import { buildInferenceModel, parseModel } from '../../../src/onnx/inference-model.js';
import { readPth } from '../../../src/platform/node/defaults.js';
import { readSafetensors } from '../../../src/platform/node/defaults.js';
import { OrtWorker } from '../../../src/session/ort-worker.js';
import { float32Tensor, type State, type Tensor } from '../../../src/common/tensor.js';
import { FIXTURES } from '../../support/paths.js';
import { nodePlatform } from '../../../src/platform/node/node-platform.js';

const CLASSES = ['ants', 'bees', 'größer "x"'];

let artifacts: Artifacts;
let runtime: OrtWorker;
beforeAll(async () => {
  artifacts = await openArtifacts(path.join(FIXTURES, 'tiny'));
  runtime = new OrtWorker(nodePlatform.ort, 'cpu', 1);
});
afterAll(async () => {
  await runtime.close();
});

/** State and logits of PyTorch's network in evaluation mode. */
async function network(): Promise<{ state: State; images: Tensor; logits: Float32Array }> {
  const state = await readPth(path.join(FIXTURES, 'weights', 'tiny.pth'));
  const file = path.join(FIXTURES, 'weights', 'tiny_logits.safetensors');
  const { tensors } = await readSafetensors(file);
  const [images, logits] = [tensors.get('images'), tensors.get('logits')];
  if (images === undefined || logits === undefined) throw new Error('incomplete fixture');
  return { state, images, logits: logits.data as Float32Array };
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length);
  return Math.max(...a.map((value, i) => Math.abs(value - (b[i] ?? NaN))));
}

describe('buildInferenceModel', () => {
  test("gives PyTorch's logits for any batch size", async () => {
    const { state, images, logits } = await network();
    const bytes = await buildInferenceModel(artifacts, state, { classes: CLASSES });
    const session = await runtime.load(bytes);
    const both = await runtime.run(session, { input: images });
    expect(both.logits?.shape).toEqual([2, 3]);
    expect(largestDifference(both.logits?.data as Float32Array, logits)).toBeLessThan(1e-5);
    const size = images.data.length / 2;
    const second = float32Tensor([1, 3, 32, 32], (images.data as Float32Array).slice(size));
    const one = await runtime.run(session, { input: second });
    expect(largestDifference(one.logits?.data as Float32Array, logits.slice(3))).toBeLessThan(1e-5);
    await runtime.release(session);
  });

  test("gives the evaluation graph's logits", async () => {
    const { state, images } = await network();
    const exported = await runtime.load(
      await buildInferenceModel(artifacts, state, { classes: CLASSES }),
    );
    const evaluation = await runtime.loadGraph(artifacts, 'evaluate');
    const feeds: Record<string, Tensor> = { images };
    for (const { name } of artifacts.manifest.graphs.evaluate.inputs) {
      const tensor = state.get(name);
      if (tensor !== undefined) feeds[name] = tensor;
    }
    const expected = (await runtime.run(evaluation, feeds)).logits?.data as Float32Array;
    const found = (await runtime.run(exported, { input: images })).logits?.data as Float32Array;
    expect(largestDifference(found, expected)).toBeLessThan(1e-5);
    await runtime.release(exported);
    await runtime.release(evaluation);
  });

  test('holds its weights, one input, the class count and what a user must know', async () => {
    const { state } = await network();
    const options = { classes: CLASSES, properties: { epoch: '3', classes: 'overridden' } };
    const bytes = await buildInferenceModel(artifacts, state, options);
    const { graph, metadataProps } = parseModel('model.onnx', bytes);
    expect(graph?.input.map(({ name }) => name)).toEqual(['input']);
    const { fold } = artifacts.manifest.graphs.inference;
    expect(graph?.initializer.length).toBe(2 * fold.length + 2);
    const type = graph?.output[0]?.type?.value;
    const shape = type?.case === 'tensorType' ? type.value.shape?.dim : undefined;
    expect(shape?.map(({ value }) => value.value)).toEqual(['N', 3n]);
    const properties = Object.fromEntries(metadataProps.map(({ key, value }) => [key, value]));
    expect(JSON.parse(properties.classes ?? '')).toEqual(CLASSES);
    expect(JSON.parse(properties.preprocessing ?? '')).toEqual(artifacts.manifest.preprocessing);
    expect(properties).toMatchObject({ arch: 'tiny', epoch: '3' });
    const again = await buildInferenceModel(artifacts, state, options);
    expect(Buffer.from(bytes).equals(again)).toBe(true);
  });

  test('folds in float64', async () => {
    const { state } = await network();
    // In float32, 1e-5 would vanish beside this variance, and the product be rounded twice.
    const ones = new Float32Array(8).fill(1);
    state.set('bn1.running_var', float32Tensor([8], new Float32Array(8).fill(1000)));
    state.set('bn1.running_mean', float32Tensor([8], new Float32Array(8).fill(1 / 3)));
    state.set('bn1.weight', float32Tensor([8], ones));
    const bytes = await buildInferenceModel(artifacts, state, { classes: CLASSES });
    const { graph } = parseModel('model.onnx', bytes);
    const raw = graph?.initializer.find(({ name }) => name === 'conv1.weight')?.rawData;
    const found = new Float32Array(Uint8Array.from(raw ?? []).buffer);
    const scale =
      1 / Math.sqrt(1000 + (artifacts.manifest.graphs.inference.fold[0]?.epsilon ?? NaN));
    const weight = state.get('conv1.weight')?.data as Float32Array;
    expect(found).toEqual(weight.map((value) => value * scale));
  });

  test.each([
    ['a missing tensor', 'bn1.weight', null, /bn1\.weight.*none/],
    [
      'another shape',
      'fc.weight',
      float32Tensor([3, 1], new Float32Array(3)),
      /\[3, 32\].*\[3, 1\]/,
    ],
    [
      'BatchNorm of another width',
      'bn1.running_var',
      float32Tensor([4], new Float32Array(4)),
      /bn1\.running_var of shape \[8\], found \[4\]/,
    ],
    [
      'values that are not finite',
      'fc.bias',
      float32Tensor([3], Float32Array.of(0, NaN, 0)),
      /finite values in fc\.bias/,
    ],
  ])('refuses %s', async (_, name, tensor, message) => {
    const { state } = await network();
    state.delete(name);
    if (tensor !== null) state.set(name, tensor);
    const run = buildInferenceModel(artifacts, state, { classes: CLASSES });
    await expect(run).rejects.toThrow(WeightsError);
    await expect(run).rejects.toThrow(message);
  });

  test('refuses class names that do not fit the head', async () => {
    const { state } = await network();
    const run = buildInferenceModel(artifacts, state, { classes: ['a', 'b'] });
    await expect(run).rejects.toThrow(/fc\.weight of shape \[2, 32\], found \[3, 32\]/);
  });

  test('refuses a template that is not ONNX, or not the template', async () => {
    const { state } = await network();
    const folder = await mkdtemp(path.join(tmpdir(), 'export-'));
    try {
      await cp(artifacts.dir, folder, { recursive: true });
      // Opened while it was whole: opening it afterwards would fail.
      const broken = await openArtifacts(folder);
      await writeFile(path.join(folder, 'inference.onnx.gz'), gzipSync('nonsense'));
      const options = { classes: CLASSES };
      await expect(buildInferenceModel(broken, state, options)).rejects.toThrow(ArtifactError);
      await copyFile(path.join(folder, 'train.onnx.gz'), path.join(folder, 'inference.onnx.gz'));
      await expect(buildInferenceModel(broken, state, options)).rejects.toThrow(/no input "input"/);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
