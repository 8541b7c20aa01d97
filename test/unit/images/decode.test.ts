import { readFile, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { DatasetError } from '../../../src/common/errors.js';
import { decodeFixture, references } from '../../parity/pixel-fixtures.js';
import { decodeImage } from '../../../src/platform/node/sharp-decoder.js';

describe('the pixels of Pillow’s convert("RGB"), exactly', () => {
  test.each(Object.keys(references.decode))('%s', async (name) => {
    const expected = references.decode[name];
    const { data, width, height } = await decodeImage(decodeFixture(name));
    expect({ width, height, rgb: Buffer.from(data).toString('base64') }).toEqual(expected);
  });

  test('from encoded bytes, also from the middle of a larger buffer', async () => {
    const encoded = await readFile(decodeFixture('rgb.jpg'));
    const around = new Uint8Array(encoded.length + 20);
    around.set(encoded, 10);
    const { data } = await decodeImage(around.subarray(10, 10 + encoded.length));
    expect(Buffer.from(data).toString('base64')).toBe(references.decode['rgb.jpg']?.rgb);
  });
});

describe('what cannot be decoded', () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(path.join(os.tmpdir(), 'decode-'));
  });
  afterAll(() => rm(dir, { recursive: true }));

  async function refused(image: string | Uint8Array, name?: string): Promise<string> {
    const error = await decodeImage(image, name).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(error).toBeInstanceOf(DatasetError);
    return (error as DatasetError).message;
  }

  test('a missing file', async () => {
    const missing = path.join(dir, 'missing.jpg');
    expect(await refused(missing)).toBe(
      `expected a readable image, found no file: ${missing}; repair, convert or remove it`,
    );
  });

  test.each([
    ...['rgb.jpg', 'progressive.jpg', 'rgb.png', 'rgb.webp', 'lzw.tif', 'cmyk.jpg'],
    ...['rgb.bmp', '4bit.bmp', 'rle8.bmp', '565.bmp', 'os2-8bit.bmp'],
    ...['rgb.ppm', 'plain.pgm', 'plain.pbm', '16bit.ppm', 'transparent.gif', 'local-palette.gif'],
  ])('%s, cut off anywhere', async (name) => {
    const whole = await readFile(decodeFixture(name));
    for (const share of [0.02, 0.3, 0.6, 0.9]) {
      const length = Math.floor(whole.length * share);
      expect(await refused(whole.subarray(0, length), `${name} cut at ${length}`)).toContain(
        `${name} cut at ${length}`,
      );
    }
  });

  test('a damaged PNG', async () => {
    const png = await readFile(decodeFixture('rgb.png'));
    const middle = Math.floor(png.length / 2);
    png[middle] = (png[middle] ?? 0) ^ 0xff;
    expect(await refused(png, 'damaged.png')).toContain('damaged.png');
  });

  test('more pixels than a worker has memory for, by the header alone', async () => {
    const png = await readFile(decodeFixture('rgb.png'));
    const header = 8 + 4;
    png.writeUInt32BE(20_000, header + 4);
    png.writeUInt32BE(10_000, header + 8);
    png.writeUInt32BE(crc32(png.subarray(header, header + 17)), header + 17);
    expect(await refused(png, 'bomb.png')).toMatch(
      /found more than 123\d{6} pixels, the most that fit into the memory for an image: bomb.png/,
    );
  });
});
