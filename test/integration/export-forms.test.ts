/** Runs each form of an exported model in a session, and compares it with training's own evaluation. */

import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { openArtifacts } from '../../src/platform/node/defaults.js';
import type { Artifacts } from '../../src/artifacts/open-artifacts.js';
import { softmax } from '../../src/metrics/logits.js';
import { Classifier, exportInference } from '../../src/platform/node/library.js';
import { ConfigError, DatasetError, TrainingError } from '../../src/common/errors.js';
import type { ExportOptions } from '../../src/config/export-options.js';
import type { ExportResult } from '../../src/export/export-inference.js';
import { parseModel } from '../../src/onnx/inference-model.js';
import { train, type TrainResult } from '../../src/index.js';
import { loadPredictions } from '../../src/platform/node/defaults.js';
import {
  predictionsFile,
  savePredictions,
  type SavedPredictions,
} from '../../src/checkpoint/predictions-file.js';
import { compare } from '../../src/export/verify-export.js';
import { float16Bits } from '../../src/onnx/compress-weights.js';
import { CLASSES } from '../support/run-process.js';
import { trainTiny } from '../support/trained-run.js';
import { Colours } from '../support/tiny-network.js';
import { ROOT, TINY } from '../support/paths.js';

const run = promisify(execFile);
const NAMES = [...CLASSES].sort();
let dir: string;
let result: TrainResult;
let artifacts: Artifacts;

function exported(name: string, more: Partial<ExportOptions> = {}): Promise<ExportResult> {
  const out = path.join(dir, name);
  return exportInference({ run: result.runDir, checkpoint: 'best', out, ...more });
}

/** Returns the logits of the validation images. */
async function logitsOf(file: string): Promise<Float32Array[]> {
  const classifier = await Classifier.open(await readFile(file), artifacts, { workers: 1 });
  const images = ['blue', 'red'].flatMap((name) =>
    [0, 1, 2, 3, 4].map((i) => path.join(dir, 'data', 'val', name, `${i}.png`)),
  );
  const found: Float32Array[] = [];
  try {
    for await (const { error, logits } of classifier.classify(
      images.map((image) => ({ name: image, image })),
    )) {
      if (error === undefined) found.push(logits);
    }
  } finally {
    await classifier.close();
  }
  return found;
}

function difference(a: readonly Float32Array[], b: readonly Float32Array[]): number {
  expect(a.length).toBe(b.length);
  return Math.max(
    ...a.flatMap((row, i) => [...row].map((v, j) => Math.abs(v - (b[i]?.[j] ?? NaN)))),
  );
}

beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'export-forms-'));
  artifacts = await openArtifacts(TINY);
  result = await trainTiny(dir);
});
afterAll(async () => {
  await rm(dir, { recursive: true });
});

describe('forms', () => {
  test('images in, probabilities out: the same answers', async () => {
    const plain = await exported('plain.onnx');
    expect(plain.replay).toMatchObject({ images: 10, differing: 0 });
    expect(plain.replay?.accuracy).toBe(result.bestAccuracy);
    const expected = await logitsOf(plain.file);
    const raw = await exported('raw.onnx', { rawImages: true });
    expect(raw.replay?.differing).toBe(0);
    expect(difference(await logitsOf(raw.file), expected)).toBeLessThan(1e-5);
    const both = await exported('both.onnx', { rawImages: true, probabilities: true });
    const logarithms = await logitsOf(both.file);
    const shares = (rows: Float32Array[]): Float32Array[] =>
      rows.map((row) => Float32Array.from(softmax(row, 0, row.length)));
    expect(difference(shares(logarithms), shares(expected))).toBeLessThan(1e-6);
  });

  test('the metadata describes the file, and does not mention this machine', async () => {
    await exported('both.onnx', { rawImages: true, probabilities: true, compression: 'fp16' });
    const bytes = await readFile(path.join(dir, 'both.onnx'));
    const { graph, metadataProps, irVersion, opsetImport } = parseModel('both.onnx', bytes);
    expect(graph?.input.map(({ name }) => name)).toEqual(['image']);
    expect(graph?.output.map(({ name }) => name)).toEqual(['probabilities']);
    expect([irVersion, opsetImport.map(({ version }) => version)]).toEqual([10n, [20n]]);
    const properties = Object.fromEntries(metadataProps.map(({ key, value }) => [key, value]));
    expect(properties).toMatchObject({
      ...{ arch: 'tiny', epoch: String(result.bestEpoch), weights_format: 'fp16' },
      ...{ input_format: 'uint8 HWC RGB', output_format: 'probabilities' },
    });
    expect(JSON.parse(properties.classes ?? '')).toEqual(NAMES);
    expect(JSON.parse(properties.settings ?? '')).toMatchObject({ lr: 0.003, epochs: 3, seed: 1 });
    expect(JSON.parse(properties.validation ?? '')).toMatchObject({ epoch: result.bestEpoch });
    expect(properties.data_fingerprint).toMatch(/^[0-9a-f]{64}$/);
    expect(properties.producer).toMatch(/^ort-finetune \d/);
    expect(bytes.includes(dir)).toBe(false);
    const docs = await readFile(path.join(ROOT, 'docs', 'model-file.md'), 'utf8');
    for (const key of Object.keys(properties)) expect(docs).toContain(`\`${key}\``);
  });

  test.each([
    ['fp16', 0.62, 2e-2],
    ['int8', 0.42, 0.5],
  ] as const)('%s weights: smaller, nearly the same', async (compression, size, error) => {
    const plain = await exported('plain.onnx');
    const small = await exported(`${compression}.onnx`, { compression, maxAccuracyDrop: 0.2 });
    expect(small.bytes).toBe((await stat(small.file)).size);
    expect(small.bytes / plain.bytes).toBeLessThan(size);
    const off = difference(await logitsOf(small.file), await logitsOf(plain.file));
    expect(off).toBeGreaterThan(0);
    expect(off).toBeLessThan(error);
  });
});

describe('the verification refuses', () => {
  const predictions = (): string => predictionsFile(result.runDir, 'best');
  const withPredictions = async (
    change: (saved: SavedPredictions) => Partial<SavedPredictions>,
    work: () => Promise<void>,
  ): Promise<void> => {
    const keep = path.join(dir, 'kept');
    await copyFile(predictions(), keep);
    const saved = await loadPredictions(predictions());
    await savePredictions(predictions(), { ...saved, ...change(saved) });
    try {
      await work();
    } finally {
      await rename(keep, predictions());
    }
  };

  test('another top class than in training, but not a tie', async () => {
    const out = path.join(dir, 'refused.onnx');
    const swap = ({ logits }: SavedPredictions): Partial<SavedPredictions> => ({
      logits: logits.map((_, i) => logits[i % 2 === 0 ? i + 1 : i - 1] ?? NaN),
    });
    await withPredictions(swap, async () => {
      const attempt = exported('refused.onnx');
      await expect(attempt).rejects.toThrow(TrainingError);
      await expect(attempt).rejects.toThrow(/got another for \d+; nothing was written/);
      await expect(stat(out)).rejects.toThrow('ENOENT');
      const skipped = await exported('skipped.onnx', { skipReplay: true });
      expect(skipped.replay).toBeNull();
    });
    await withPredictions(
      ({ logits }) => ({ logits: logits.map(() => 0) }),
      async () => {
        expect((await exported('tie.onnx')).replay?.differing).toBe(0);
      },
    );
  });

  test('weights that cost more accuracy than allowed', async () => {
    // Swap the labels and predict them all, as if training had been right about every image.
    const other = ({ labels, logits }: SavedPredictions): Partial<SavedPredictions> => ({
      labels: labels.map((label) => 1 - label),
      logits: logits.map((_, i) => (labels[Math.floor(i / 2)] === i % 2 ? 0 : 9)),
    });
    await withPredictions(other, async () => {
      const attempt = exported('costly.onnx', { compression: 'int8' });
      await expect(attempt).rejects.toThrow(
        /^expected int8 weights to cost at most 1.0% of accuracy/,
      );
    });
    const labelled = { classes: 2, indices: Uint32Array.of(0, 1), labels: Int32Array.of(0, 1) };
    const found = { ...labelled, logits: Float32Array.of(1, 0, 1, 0) };
    const expected = { ...labelled, logits: Float32Array.of(1, 0, 0, 1) };
    expect(compare(found, expected)).toEqual({
      ...{ images: 2, accuracy: 0.5, expectedAccuracy: 1, differing: 1 },
    });
  });

  test('a missing image; a missing folder is reported, and refused with fewer bits', async () => {
    const [data, moved] = [path.join(dir, 'data'), path.join(dir, 'moved')];
    const image = path.join(data, 'val', 'red', '0.png');
    await rename(image, `${image}.away`);
    await expect(exported('x.onnx')).rejects.toThrow(DatasetError);
    await rename(`${image}.away`, image);
    await rename(data, moved);
    try {
      expect((await exported('y.onnx')).replay).toBeNull();
      await expect(exported('z.onnx', { compression: 'fp16' })).rejects.toThrow(ConfigError);
      expect((await exported('w.onnx', { data: moved })).replay?.images).toBe(10);
    } finally {
      await rename(moved, data);
    }
  });

  test('data sets in code are verified when they are given', async () => {
    const valDataset = new Colours(9, CLASSES, 2);
    const custom = await train({
      ...{ trainDataset: new Colours(8, CLASSES, 1), valDataset, artifacts: TINY },
      ...({ weights: 'random', device: 'cpu', workers: 1, epochs: 1 } as const),
      out: path.join(dir, 'custom'),
    });
    const options = {
      run: custom.runDir,
      checkpoint: 'last',
      out: path.join(dir, 'c.onnx'),
    } as const;
    expect((await exportInference(options)).replay).toBeNull();
    const found = (await exportInference({ ...options, valDataset })).replay;
    expect(found).toMatchObject({ images: 9, differing: 0 });
  });
});

test('half precision: nearest, ties to even, subnormal, signed, infinite', () => {
  const cases: [number, number][] = [
    ...([
      [0, 0],
      [-0, 0x8000],
      [1, 0x3c00],
      [-2, 0xc000],
      [65504, 0x7bff],
    ] as [number, number][]),
    ...([
      [65519.99, 0x7bff],
      [65520, 0x7c00],
      [Infinity, 0x7c00],
    ] as [number, number][]),
    ...([
      [2 ** -24, 1],
      [2 ** -25, 0],
      [1.5 * 2 ** -24, 2],
    ] as [number, number][]),
    ...([
      [2 ** -14, 0x400],
      [1 + 2 ** -11, 0x3c00],
      [1 + 3 * 2 ** -11, 0x3c02],
    ] as [number, number][]),
    ...([
      [0.1, 0x2e66],
      [1 / 3, 0x3555],
      [2047.75, 0x6800],
    ] as [number, number][]),
  ];
  for (const [value, bits] of cases) expect([value, float16Bits(value)]).toEqual([value, bits]);
});

test("the Node example of the docs gives predict's answer", async () => {
  await exported('example.onnx', { rawImages: true, probabilities: true });
  const docs = await readFile(path.join(ROOT, 'docs', 'model-file.md'), 'utf8');
  const code = /```js\n([^]*?)```/.exec(docs)?.[1] ?? '';
  // Write the script inside the package, so that its imports are found.
  const script = path.join(ROOT, 'dist', `example-${process.pid}.mjs`);
  await writeFile(script, code);
  try {
    const imageFile = path.join(dir, 'data', 'val', 'red', '1.png');
    const words = [script, path.join(dir, 'example.onnx'), imageFile, 'ignore', ...NAMES];
    const { stdout } = await run(process.execPath, words);
    const cli = path.join(ROOT, 'dist', 'src', 'cli.js');
    const same = ['predict', '--run', result.runDir, '--json', imageFile];
    type Line = { classes: { name: string; probability: number }[] };
    const { classes } = JSON.parse((await run(process.execPath, [cli, ...same])).stdout) as Line;
    const lines = classes.map(({ name, probability }) => `${name} ${probability.toFixed(4)}`);
    expect(stdout.trimEnd().split('\n')).toEqual(lines);
  } finally {
    await rm(script);
  }
});
