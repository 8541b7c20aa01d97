/**
 * Holds: the same pixels in every way in. The page of `--web`, in a real browser, decodes an image to the levels that
 * training saw: those of `decodeImage`.
 */

import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { ExifUse, RgbImage } from '../../src/platform/platform.js';
import { decodeImage } from '../../src/platform/node/sharp-decoder.js';
import { decodeFixture, references } from '../parity/pixel-fixtures.js';
import { findChromium } from '../support/chromium.js';
import { FIXTURES } from '../support/paths.js';
import { openWebDecoder, type WebDecoder } from '../support/web-decoder.js';
import {
  AVIF_LEVELS,
  imageFiles,
  otherFiles,
  resizedJpeg,
  transparentAvif,
} from '../support/image-files.js';

const chromium = findChromium();

type Pixels = Readonly<Record<'width' | 'height', number>> & { readonly rgb: string };
type Oriented = { readonly file: string } & Readonly<Record<ExifUse, Pixels>>;
/** Files in base64, and their pixels by Pillow; scripts/fixtures/orientation.py writes them. */
const oriented = JSON.parse(
  readFileSync(path.join(FIXTURES, 'pixels', 'orientation.json'), 'utf8'),
) as Record<string, Oriented>;
const uses: readonly ExifUse[] = ['ignore', 'apply'];

/** Returns the largest difference of a level. The sizes must be equal. */
function worst(actual: RgbImage, expected: RgbImage): number {
  expect([actual.width, actual.height]).toEqual([expected.width, expected.height]);
  expect(actual.data.length).toBe(expected.data.length);
  return actual.data.reduce((most, level, i) => {
    return Math.max(most, Math.abs(level - (expected.data[i] ?? NaN)));
  }, 0);
}

(chromium === null ? describe.skip : describe)('in Chromium', () => {
  let page: WebDecoder;
  beforeAll(async () => {
    page = await openWebDecoder(chromium ?? '');
  });
  afterAll(() => page.close());

  const fixtures = Object.keys(references.decode);
  test.each(fixtures.filter((name) => !name.endsWith('.tif')))(
    '%s: Pillow’s levels',
    async (name) => {
      const { width, height, rgb } = references.decode[name] ?? { width: 0, height: 0, rgb: '' };
      const expected = { width, height, data: Buffer.from(rgb, 'base64') };
      expect(worst(await page.decode(readFileSync(decodeFixture(name))), expected)).toBe(0);
    },
  );

  test.each(Object.entries(imageFiles))('%s: the levels of training', async (name, make) => {
    const file = await make();
    expect(worst(await page.decode(file), await decodeImage(file, name))).toBe(0);
  });

  test.each(Object.entries(otherFiles))(
    '%s: the levels of training but for rounding',
    async (name, [most, make]) => {
      const file = await make();
      const found = worst(await page.decode(file), await decodeImage(file, name));
      expect(found).toBeLessThanOrEqual(most);
    },
  );

  test.each(
    ['jpeg', 'png', 'webp', 'avif'].flatMap((kind) => uses.map((exif) => [kind, exif] as const)),
  )('%s with the orientations 1 to 8, %s: Pillow’s levels', async (kind, exif) => {
    const files = Object.keys(oriented).filter((name) => name.startsWith(`${kind}-`));
    expect(files).toHaveLength(8);
    for (const name of files) {
      const { file, ...pixels } = oriented[name] as Oriented;
      const { width, height, rgb } = pixels[exif];
      const expected = { width, height, data: Buffer.from(rgb, 'base64') };
      const found = worst(await page.decode(Buffer.from(file, 'base64'), exif), expected);
      expect(found).toBeLessThanOrEqual(kind === 'avif' ? AVIF_LEVELS : 0);
    }
  });

  // Pillow wrote those without "ycck"; libjpeg-turbo by simplejpeg, with fewer pixels for two of the colours, the others.
  const inks = readdirSync(path.join(FIXTURES, 'pixels', 'cmyk'));
  test.each(inks)('a JPEG in CMYK with black, %s: training’s levels', async (name) => {
    const file = readFileSync(path.join(FIXTURES, 'pixels', 'cmyk', name));
    expect(worst(await page.decode(file), await decodeImage(file))).toBe(0);
  });

  test('an image of more pixels than are read from a canvas at once', async () => {
    const file = await resizedJpeg(2111, 2222);
    const { data } = await decodeImage(file);
    expect(await page.hash(file)).toBe(createHash('sha256').update(data).digest('hex'));
  });

  const fixture = (name: string): Buffer => readFileSync(decodeFixture(name));
  const png = fixture('rgb.png');
  const refused: readonly [string, Uint8Array | (() => Promise<Uint8Array>), string][] = [
    ['nothing', Buffer.of(), 'an empty file'],
    ['a text', Buffer.from('no image at all'), 'a text file'],
    ['a PDF document', Buffer.from('%PDF-1.7\n%\xe2\xe3'), 'a PDF document'],
    ['a drawing', Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>'), 'an SVG drawing'],
    ['a phone’s HEIC', Buffer.from('\0\0\0\x18ftypheic\0\0\0\0', 'latin1'), 'a HEIC file'],
    ['a TIFF', fixture('rgb.tif'), 'a TIFF file'],
    ['half of a JPEG', fixture('rgb.jpg').subarray(0, 500), 'a JPEG file that is damaged'],
    ['half of a PNG', png.subarray(0, png.length / 2), 'a PNG file that is damaged'],
    ['a PNG with a changed bit', changed(png, png.length / 2), 'a PNG file that is damaged'],
    ['half of a WebP', fixture('rgb.webp').subarray(0, 80), 'a WEBP file that is damaged'],
    [
      'half of an animation',
      fixture('animated.webp').subarray(0, 99),
      'a WEBP file that is damaged',
    ],
    ['half of a GIF', fixture('palette.gif').subarray(0, 150), 'a GIF file that is cut off'],
    ['half of a BMP', fixture('rgb.bmp').subarray(0, 300), 'a BMP file that is cut off'],
    ['half of a PPM', fixture('rgb.ppm').subarray(0, 300), 'a PPM file that is cut off'],
    ['a PNG of no pixels', enlarged(png, 0, 7), 'an image of 0 x 7 pixels'],
    ['a bomb', enlarged(png, 20_000, 10_000), 'more than 178956970 pixels'],
    ['a header that promises much', enlarged(png, 9000, 9000), 'too large for the memory'],
    ['a half-transparent AVIF', transparentAvif, 'an AVIF file with transparent pixels'],
  ];
  test.each(refused)('%s is refused in words', async (_, content, problem) => {
    const bytes = typeof content === 'function' ? await content() : content;
    const message = await page.decode(bytes).then(
      () => 'decoded',
      (error: unknown) => (error as Error).message,
    );
    expect(message).toContain('expected a JPEG, PNG, WebP, GIF, AVIF, BMP or PNM image, found ');
    expect(message).toContain(problem);
    // The next image is decoded all the same.
    expect(worst(await page.decode(png), await decodeImage(png))).toBe(0);
  });
});

/** Returns a PNG file whose header tells other sides than it has. */
function enlarged(png: Buffer, width: number, height: number): Buffer {
  const changed = Buffer.from(png);
  changed.writeUInt32BE(width, 16);
  changed.writeUInt32BE(height, 20);
  changed.writeUInt32BE(crc32(changed.subarray(12, 29)), 29);
  return changed;
}

/** Returns a copy of which one bit is changed. */
function changed(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt8(copy.readUInt8(Math.floor(at)) ^ 8, Math.floor(at));
  return copy;
}
