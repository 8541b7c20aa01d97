import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Artifacts } from '../../../src/artifacts/open-artifacts.js';
import { openArtifacts } from '../../../src/platform/node/defaults.js';
import type { Initializer, PretrainedSpec } from '../../../src/artifacts/manifest.js';
import { ConfigError, WeightsError } from '../../../src/common/errors.js';
import { initialize } from '../../../src/weights/init.js';
import { readPth } from '../../../src/platform/node/defaults.js';
import { Philox, STREAM } from '../../../src/common/philox.js';
import { encodeSafetensors } from '../../../src/weights/safetensors.js';
import { float32Tensor, int64Scalar, type Tensor } from '../../../src/common/tensor.js';
import { initialState } from '../../../src/platform/node/defaults.js';
import { FIXTURES } from '../../support/paths.js';

/** The tests' network with three classes, as torch.save wrote it. */
const TINY = path.join(FIXTURES, 'weights', 'tiny.pth');

let artifacts: Artifacts;
let folder = '';
beforeEach(async () => {
  const opened = await openArtifacts(path.join(FIXTURES, 'tiny'));
  folder = await mkdtemp(path.join(tmpdir(), 'weights-'));
  artifacts = { ...opened, initialCheckpoint: path.join(folder, 'initial.safetensors') };
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

async function writeWeights(
  name: string,
  tensors: ReadonlyMap<string, Tensor>,
  metadata: Record<string, string> = {},
): Promise<string> {
  const file = path.join(folder, name);
  await writeFile(file, Buffer.concat(encodeSafetensors(tensors, metadata)));
  return file;
}

async function rejection(run: Promise<unknown>): Promise<unknown> {
  return run.then(
    () => null,
    (reason: unknown) => reason,
  );
}

describe('initialize', () => {
  const draw = (seed: number, index = 0): Philox => new Philox(seed, STREAM.weights, 0, index);

  const COUNT = 100_000;
  /** Cumulative distribution of the standard normal distribution (Abramowitz and Stegun 7.1.26, to 1.5e-7). */
  const normalCdf = (x: number): number => {
    const t = 1 / (1 + (0.3275911 * Math.abs(x)) / Math.SQRT2);
    const coefficients = [1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592];
    const polynomial = coefficients.reduce((sum, coefficient) => (sum + coefficient) * t, 0);
    const half = polynomial * Math.exp(-(x * x) / 2);
    return x < 0 ? half / 2 : 1 - half / 2;
  };
  /** Kolmogorov and Smirnov's distance of `values` from a cumulative distribution, times the root of their number. */
  const distance = (values: Float32Array, cdf: (x: number) => number): number => {
    const sorted = Float64Array.from(values).sort();
    let largest = 0;
    for (const [i, value] of sorted.entries()) {
      const expected = cdf(value);
      largest = Math.max(largest, expected - i / COUNT, (i + 1) / COUNT - expected);
    }
    return largest * Math.sqrt(COUNT);
  };
  const between = (low: number, high: number, cdf: (x: number) => number) => (x: number) =>
    (cdf(x) - cdf(low)) / (cdf(high) - cdf(low));
  const wide = (x: number): number => normalCdf((x - 0.3) / 0.02);
  const standard = (std: number) => (x: number) => normalCdf(x / std);
  const kinds: [string, Initializer, (x: number) => number][] = [
    ['normal', { kind: 'normal', mean: 0.3, std: 0.02 }, wide],
    ['uniform', { kind: 'uniform', low: -0.25, high: 0.75 }, (x) => x + 0.25],
    [
      "truncated_normal, at PyTorch's two deviations",
      { kind: 'truncated_normal', mean: 0, std: 0.02, low: -0.04, high: 0.04 },
      between(-0.04, 0.04, standard(0.02)),
    ],
    [
      'truncated_normal, on one side',
      { kind: 'truncated_normal', mean: 0.3, std: 0.02, low: 0.31, high: 2 },
      between(0.31, 2, wide),
    ],
  ];

  // A right distribution exceeds 1.95 in 1 of 1000 samples, and the sample here is always the same.
  test.each(kinds)('%s has its distribution', (_, init, cdf) => {
    const values = initialize(init, COUNT, draw(1));
    expect(distance(values, cdf)).toBeLessThan(1.95);
    // The test can tell: a scale that is wrong by 3 % is found.
    expect(distance(values, (x) => cdf(x * 1.03))).toBeGreaterThan(1.95);
    if ('low' in init) {
      expect(Math.min(...values.subarray(0, 50_000))).toBeGreaterThanOrEqual(Math.fround(init.low));
      expect(Math.max(...values.subarray(0, 50_000))).toBeLessThanOrEqual(Math.fround(init.high));
    }
  });

  test('elements are independent: neighbours, and tensors of other numbers', () => {
    const init = { kind: 'truncated_normal', mean: 0, std: 1, low: -2, high: 2 } as const;
    const [one, other] = [initialize(init, COUNT, draw(1)), initialize(init, COUNT, draw(1, 1))];
    const product = (shift: number, b: Float32Array): number =>
      one.reduce((sum, value, i) => sum + value * (b[(i + shift) % COUNT] ?? 0), 0) / COUNT;
    for (const found of [product(1, one), product(2, one), product(0, other)]) {
      expect(Math.abs(found)).toBeLessThan(4 / Math.sqrt(COUNT));
    }
  });

  test('bounds that hold no normal number are refused', () => {
    const init = { kind: 'truncated_normal', mean: 0, std: 1, low: 40, high: 41 } as const;
    expect(() => initialize(init, 1, draw(1))).toThrow(/bounds that hold normal numbers/);
  });

  test('constant', () => {
    expect([...initialize({ kind: 'constant', value: 1 }, 3, draw(1))]).toEqual([1, 1, 1]);
  });
});

describe('random weights', () => {
  test('every tensor of the state, momentum and counters zero', async () => {
    const { manifest } = artifacts;
    const { state, source } = await initialState(artifacts, {
      weights: 'random',
      classes: 10,
      seed: 3,
    });
    const { parameters, buffers, counters } = manifest;
    expect(state.size).toBe(2 * parameters.length + buffers.length + counters.length);
    expect(source).toBe('random (seed 3)');
    for (const { name } of parameters) {
      const momentum = state.get(`momentum.${name}`);
      expect(momentum?.shape).toEqual(state.get(name)?.shape);
      expect(momentum?.data.some((value) => value !== 0)).toBe(false);
    }
    for (const name of counters) expect(state.get(name)).toEqual(int64Scalar(0n));
    expect(state.get('fc.weight')?.shape).toEqual([10, 32]);
    expect(state.get('bn1.running_var')?.data).toEqual(new Float32Array(8).fill(1));
    const head = state.get('fc.weight')?.data as Float32Array;
    expect(head.every((value) => Math.abs(value) <= 1 / Math.sqrt(32))).toBe(true);
    expect(new Set(head).size).toBeGreaterThan(300);
  });

  test('a function of the seed; no two tensors have the same numbers', async () => {
    const draw = async (seed: number, classes: number): Promise<Map<string, Tensor>> =>
      (await initialState(artifacts, { weights: 'random', classes, seed })).state;
    const state = await draw(1, 2);
    expect(await draw(1, 2)).toEqual(state);
    expect((await draw(2, 2)).get('conv1.weight')).not.toEqual(state.get('conv1.weight'));
    // The class count changes the head alone.
    expect((await draw(1, 5)).get('conv1.weight')).toEqual(state.get('conv1.weight'));
    const firsts = [...state]
      .filter(([name]) => /^(layer.*conv\d|conv1|fc)\.(weight|bias)$/.test(name))
      .map(([, tensor]) => tensor.data[0]);
    expect(new Set(firsts).size).toBe(firsts.length);
  });
});

describe('weights from a file', () => {
  test('torch.save: backbone, statistics and counters are loaded, the head is fresh', async () => {
    const file = await readPth(TINY);
    const { state, source } = await initialState(artifacts, { weights: TINY, classes: 2, seed: 1 });
    const random = await initialState(artifacts, { weights: 'random', classes: 2, seed: 1 });
    expect(source).toBe(TINY);
    for (const [name, tensor] of file) {
      if (!name.startsWith('fc.')) expect(state.get(name)).toEqual(tensor);
    }
    expect(state.get('bn1.num_batches_tracked')).toEqual(int64Scalar(1n));
    expect(state.get('fc.weight')).toEqual(random.state.get('fc.weight'));
    expect([...state.keys()]).toEqual([...random.state.keys()]);
  });

  test('.safetensors, with whatever ending, without head and counters', async () => {
    const tensors = await readPth(TINY);
    for (const name of tensors.keys()) {
      if (/^fc|num_batches/.test(name)) tensors.delete(name);
    }
    const file = await writeWeights('weights.bin', tensors);
    const { state } = await initialState(artifacts, { weights: file, classes: 2, seed: 1 });
    expect(state.get('layer1.0.conv1.weight')).toEqual(tensors.get('layer1.0.conv1.weight'));
    expect(state.get('bn1.num_batches_tracked')).toEqual(int64Scalar(0n));
  });

  test('a .pth of the legacy format is told by its contents', async () => {
    const file = path.join(folder, 'weights.dat');
    await copyFile(path.join(FIXTURES, 'weights', 'legacy.pth'), file);
    const error = await rejection(initialState(artifacts, { weights: file, classes: 2, seed: 1 }));
    expect((error as Error).message).toMatch(/expected tensor conv1.weight .* found none/);
  });

  test.each([
    ['a missing tensor', 'bn1.running_mean', null, /bn1\.running_mean of float32 \[8\] in .*none/],
    [
      'another shape',
      'layer1.0.conv1.weight',
      float32Tensor([4, 8, 3, 3], new Float32Array(288)),
      /layer1\.0\.conv1\.weight of float32 \[8, 8, 3, 3\] in .*found float32 \[4, 8, 3, 3\]/,
    ],
    ['another type', 'bn1.bias', int64Scalar(1n), /bn1\.bias of float32 \[8\] .*found int64 \[\]/],
  ])('%s is named', async (_, name, replacement, message) => {
    const tensors = await readPth(TINY);
    tensors.delete(name);
    if (replacement !== null) tensors.set(name, replacement);
    const weights = await writeWeights('changed.safetensors', tensors);
    const error = await rejection(initialState(artifacts, { weights, classes: 3, seed: 1 }));
    expect(error).toBeInstanceOf(WeightsError);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).toContain(weights);
  });

  test('a missing file', async () => {
    const weights = path.join(folder, 'none.pth');
    const error = await rejection(initialState(artifacts, { weights, classes: 3, seed: 1 }));
    expect(error).toBeInstanceOf(WeightsError);
    expect((error as Error).message).toMatch(/none\.pth.*no such file.*--weights random/);
  });
});

describe('imagenet', () => {
  const options = { weights: 'imagenet', classes: 2, seed: 1 };

  function withPretrained(spec: PretrainedSpec): Artifacts {
    return { ...artifacts, manifest: { ...artifacts.manifest, pretrained: spec } };
  }

  /** Serves tiny.pth as the published file and counts the requests. */
  async function serve(use: (spec: PretrainedSpec, requests: () => number) => Promise<void>) {
    const content = await readFile(TINY);
    let requests = 0;
    const server = createServer((_, response) => {
      requests++;
      response.end(content);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const sha256 = createHash('sha256').update(content).digest('hex');
    const spec = {
      name: 'IMAGENET1K_V1',
      licence: 'none',
      package: null,
      names: null,
      url: `http://127.0.0.1:${port}/tiny-${sha256.slice(0, 8)}.pth`,
      sha256,
      sha256Prefix: sha256.slice(0, 8),
      bytes: content.byteLength,
    };
    try {
      await use(spec, () => requests);
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  test("the published file is fetched, unless the build's own is there", async () => {
    await serve(async (spec, requests) => {
      const given = withPretrained(spec);
      const fetched = await initialState(given, { ...options, cache: folder });
      expect(requests()).toBe(1);
      expect(fetched.source).toContain('IMAGENET1K_V1');
      const fromFile = await initialState(artifacts, { ...options, weights: TINY });
      expect(fetched.state).toEqual(fromFile.state);

      const tensors = await readPth(TINY);
      tensors.set('bn1.bias', float32Tensor([8], new Float32Array(8).fill(7)));
      await writeWeights('initial.safetensors', tensors, { source: 'IMAGENET1K_V1' });
      const built = await initialState(given, { ...options, cache: folder });
      expect(built.state.get('bn1.bias')?.data[0]).toBe(7);
      expect(built.source).toContain(artifacts.initialCheckpoint);

      // Weights of another origin in its place are not passed off as the published ones.
      await writeWeights('initial.safetensors', tensors, { source: 'random' });
      const again = await initialState(given, { ...options, cache: folder });
      expect(again.state).toEqual(fromFile.state);
      expect(requests()).toBe(1);
    });
  });

  test('a failed fetch is an error, not a fallback', async () => {
    await serve(async (spec) => {
      const wrong = withPretrained({ ...spec, sha256: '0'.repeat(64) });
      const error = await rejection(initialState(wrong, { ...options, cache: folder }));
      expect(error).toBeInstanceOf(WeightsError);
      expect((error as Error).message).toMatch(/SHA-256.*--weights FILE.*--weights random/);
    });
  });

  test('a network without published weights says so', async () => {
    const error = await rejection(initialState(artifacts, options));
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as Error).message).toMatch(/tiny.*--weights random/);
  });
});
