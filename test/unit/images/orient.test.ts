/** Holds: an image is turned as Pillow turns it, and only if the setting or the format asks for it. */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { avifOrientation } from '../../../src/images/formats/avif-orientation.js';
import { inverseOrientation, orient } from '../../../src/images/orient.js';
import { exifOrientation } from '../../../src/images/orientation.js';
import type { ExifUse, RgbImage } from '../../../src/platform/platform.js';
import { decodeImage } from '../../../src/platform/node/sharp-decoder.js';
import { FIXTURES } from '../../support/paths.js';

interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly rgb: string;
}

/** Files in base64, and their pixels by Pillow; scripts/fixtures/orientation.py writes them. */
const stored = JSON.parse(
  readFileSync(path.join(FIXTURES, 'pixels', 'orientation.json'), 'utf8'),
) as Record<string, { file: string } & Record<ExifUse, Pixels>>;
const names = Object.keys(stored);
const fileOf = (name: string): Uint8Array => Buffer.from(stored[name]?.file ?? '', 'base64');
/** Largest difference of a level that two AVIF decoders may have; see images/decode.ts. */
const AVIF_LEVELS = 12;

function largestDifference(a: Uint8Array, b: Uint8Array): number {
  return a.reduce((most, level, i) => Math.max(most, Math.abs(level - (b[i] ?? NaN))), 0);
}

describe.each(['ignore', 'apply'] as const)('%s: the pixels are Pillow’s', (exif) => {
  test.each(names)('%s', async (name) => {
    const expected = stored[name]?.[exif];
    const { data, width, height } = await decodeImage(fileOf(name), name, exif);
    expect([width, height]).toEqual([expected?.width, expected?.height]);
    const pillow = Buffer.from(expected?.rgb ?? '', 'base64');
    expect(largestDifference(data, pillow)).toBeLessThanOrEqual(
      name.startsWith('avif') ? AVIF_LEVELS : 0,
    );
  });
});

test('ignoring is the default', async () => {
  const { data } = await decodeImage(fileOf('jpeg-6'));
  expect(Buffer.from(data).toString('base64')).toBe(stored['jpeg-6']?.ignore.rgb);
});

test.each(names)('the orientation of %s is found', (name) => {
  const number = Number(name.split('-')[1]);
  // An encoder writes nothing for an upright AVIF image.
  expect(exifOrientation(fileOf(name))).toBe(name === 'avif-1' ? null : number);
});

const numbered = (width: number, height: number): RgbImage => {
  const data = Uint8Array.from({ length: 3 * width * height }, (_, i) => i);
  return { data, width, height };
};

describe.each([
  [1, 1],
  [1, 6],
  [6, 1],
  [4, 3],
])('%i x %i pixels', (width, height) => {
  const image = numbered(width, height);

  test.each([1, 2, 3, 4, 5, 6, 7, 8])('%i and its inverse give the image back', (value) => {
    const turned = orient(image, value);
    expect([turned.width, turned.height]).toEqual(value > 4 ? [height, width] : [width, height]);
    expect(orient(turned, inverseOrientation(value))).toEqual(image);
  });

  test.each([0, 9, -1, 1.5, NaN])('%p turns nothing', (value) => {
    expect(orient(image, value)).toBe(image);
  });
});

test('a quarter turn: the left column, from below, becomes the first row', () => {
  const { data } = orient(numbered(2, 2), 6);
  expect([...data]).toEqual([6, 7, 8, 0, 1, 2, 9, 10, 11, 3, 4, 5]);
});

test('an AVIF file that is cut off or damaged has no orientation, and throws nothing', () => {
  const whole = fileOf('avif-7');
  expect(avifOrientation(whole)).toBe(7);
  for (let length = 0; length < 200; length++) {
    expect([null, 7]).toContain(avifOrientation(whole.subarray(0, length)));
  }
  for (let at = 0; at < whole.length; at++) {
    const damaged = Uint8Array.from(whole);
    damaged[at] = (damaged[at] ?? 0) ^ 0xff;
    expect([null, 1, 2, 3, 4, 5, 6, 7, 8]).toContain(avifOrientation(damaged));
  }
});
