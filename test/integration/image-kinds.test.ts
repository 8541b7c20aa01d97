/**
 * Holds: inputs are used, refused or named, and the cost of an image is bounded before step 1. Whole commands on images
 * of unusual formats and shapes.
 */

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import sharp from 'sharp';
import { BadImagesError } from '../../src/common/errors.js';
import { exportInference, train, type TrainEvent, type TrainResult } from '../../src/index.js';
import { grayTiff } from '../support/gray-tiff.js';
import { decodeFixture } from '../parity/pixel-fixtures.js';
import { call, makeData } from '../support/run-process.js';
import { TINY } from '../support/paths.js';

let dir: string;
let data: string;
/** Long images that evaluation would resize to gigabytes. */
const THIN: readonly (readonly [string, number, number])[] = [
  ['tall.png', 1, 100_000],
  ['wide.png', 100_000, 1],
  ['two.png', 2, 90_000],
];

async function thin(width: number, height: number): Promise<Buffer> {
  const levels = Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 7) % 256);
  return sharp(levels, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
}

async function run(
  name: string,
  folder: string,
): Promise<{ result: TrainResult; warnings: string[] }> {
  const warnings: string[] = [];
  const result = await train({
    ...{ data: folder, artifacts: TINY, out: path.join(dir, name), weights: 'random' },
    ...{ device: 'cpu', threads: 1, workers: 1, epochs: 1, batchSize: 4 },
    onEvent: (event: TrainEvent) => {
      if (event.type === 'warning') warnings.push(event.message);
    },
  });
  return { result, warnings };
}

beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'kinds-test-'));
  process.env.ORT_FINETUNE_CACHE = path.join(dir, 'cache');
  data = await makeData(path.join(dir, 'data'), 4, 2);
});
afterAll(() => rm(dir, { recursive: true }));

describe('formats beside JPEG and PNG', () => {
  const FORMATS = [
    ...['rgb.bmp', 'rle8.bmp', 'os2.bmp', 'plain.ppm', 'gray.pgm', '16bit.ppm'],
    ...['transparent.gif', 'small-frame.gif', 'bigtiff.tif'],
  ];

  test('are trained and validated on', async () => {
    const folder = await makeData(path.join(dir, 'formats'), 2, 2);
    for (const name of FORMATS) {
      await copyFile(decodeFixture(name), path.join(folder, 'train', 'red', name));
      await copyFile(decodeFixture(name), path.join(folder, 'val', 'blue', name));
    }
    const events: TrainEvent[] = [];
    await train({
      ...{ data: folder, artifacts: TINY, out: path.join(dir, 'formats-run'), weights: 'random' },
      ...{ device: 'cpu', threads: 1, workers: 1, epochs: 1, batchSize: 4 },
      onEvent: (event) => events.push(event),
    });
    const checked = events.find((event) => event.type === 'checked');
    expect(checked).toMatchObject({ skipped: [] });
    const red = checked?.classes.find((one) => one.name === 'red');
    expect(red?.train).toBe(2 + FORMATS.length);
  });
});

describe('thin images', () => {
  let result: TrainResult;
  beforeAll(async () => {
    for (const [name, width, height] of THIN) {
      const bytes = await thin(width, height);
      await writeFile(path.join(data, 'train', 'red', name), bytes);
      await writeFile(path.join(data, 'val', 'blue', name), bytes);
    }
    ({ result } = await run('thin', data));
  });

  test('are trained and validated on', () => {
    expect(Number.isFinite(result.bestLoss)).toBe(true);
  });

  test('get the same answer from the run and from a model that takes raw images', async () => {
    const model = path.join(dir, 'raw.onnx');
    await exportInference({ run: result.runDir, out: model, rawImages: true, skipReplay: true });
    const images = THIN.map(([name]) => path.join(data, 'val', 'blue', name));
    const answer = async (...source: string[]): Promise<unknown> => {
      const words = ['predict', ...source, '--json', '--workers', '1', ...images];
      const { code, stdout } = await call(words, { cwd: dir });
      expect(code).toBe(0);
      const lines = stdout.trimEnd().split('\n');
      return lines.map((line) => {
        const { classes } = JSON.parse(line) as { classes: { probability: number }[] };
        return classes.map(({ probability }) => probability.toFixed(4));
      });
    };
    const found = await answer('--model', model);
    expect(found).toHaveLength(THIN.length);
    expect(found).toEqual(await answer('--run', result.runDir, '--artifacts', TINY));
  });
});

describe('images that are too large', () => {
  /** A PNG header alone: the rest is never read. */
  async function header(width: number, height: number): Promise<Buffer> {
    const png = await thin(9, 9);
    png.writeUInt32BE(width, 16);
    png.writeUInt32BE(height, 20);
    return png;
  }

  test.each([
    ['huge.png', () => header(20_000, 20_000), /more than \d+ pixels, the most that fit/],
    ['huge.bmp', () => Promise.resolve(bmpHeader(50_000, 50_000)), /more than \d+ pixels/],
    ['huge.ppm', () => Promise.resolve(Buffer.from('P6 40000 40000 255 ')), /more than \d+ pixels/],
    ['huge.gif', () => Promise.resolve(gifHeader(60_000, 60_000)), /more than \d+ pixels/],
  ])('%s is refused before the first step, by name', async (name, make, reason) => {
    const folder = await makeData(path.join(dir, `data-${name}`), 2, 2);
    await writeFile(path.join(folder, 'val', 'red', name), await make());
    const error = await run(`run-${name}`, folder).catch((cause: unknown) => cause);
    expect(error).toBeInstanceOf(BadImagesError);
    const { images } = error as BadImagesError;
    expect(images.map((image) => path.basename(image.path))).toEqual([name]);
    expect(images[0]?.reason).toMatch(reason);
  });
});

function bmpHeader(width: number, height: number): Buffer {
  const bytes = Buffer.alloc(64);
  bytes.write('BM');
  bytes.writeUInt32LE(54, 10);
  bytes.writeUInt32LE(40, 14);
  bytes.writeInt32LE(width, 18);
  bytes.writeInt32LE(height, 22);
  bytes.writeUInt16LE(24, 28);
  return bytes;
}

function gifHeader(width: number, height: number): Buffer {
  const bytes = Buffer.alloc(32);
  bytes.write('GIF89a');
  bytes.writeUInt16LE(width, 6);
  bytes.writeUInt16LE(height, 8);
  bytes.write(',', 13);
  bytes.writeUInt16LE(1, 18);
  bytes.writeUInt16LE(1, 20);
  return bytes;
}

describe('images with nothing on them', () => {
  test('are warned of once, by number and example, also when the check is cached', async () => {
    const folder = path.join(dir, 'blank');
    for (const split of ['train', 'val']) {
      for (const [label, name] of ['ant', 'bee'].entries()) {
        const target = path.join(folder, split, name);
        await mkdir(target, { recursive: true });
        for (let i = 0; i < 3; i++) {
          const levels = new Float32Array(32 * 32).map(
            (_, at) => ((at + i) % 32) / 33 + label / 99,
          );
          const layout = { width: 32, height: 32, bits: 32, sampleFormat: 3 } as const;
          await writeFile(path.join(target, `${i}.tif`), grayTiff(layout, levels));
        }
      }
    }
    const expected =
      /^12 of 12 images have nothing to see on them after decoding, e\.g\. .*0\.tif: /;
    for (const name of ['first', 'second']) {
      const { warnings } = await run(`blank-${name}`, folder);
      const said = warnings.filter((warning) => warning.includes('nothing to see'));
      expect(said).toHaveLength(1);
      expect(said[0]).toMatch(expected);
      expect(said[0]).toContain('TIFF');
    }
  });
});
