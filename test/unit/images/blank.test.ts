/** Holds: images with nothing on them after decoding are found, and ordinary images are not. */

import { describe, expect, test } from '@jest/globals';
import sharp from 'sharp';
import { blankReason, blankWarnings } from '../../../src/images/blank.js';
import { imageFormat } from '../../../src/images/signatures.js';
import { decodeImage } from '../../../src/platform/node/sharp-decoder.js';
import { grayTiff } from '../../support/gray-tiff.js';
import { references, decodeFixture } from '../../parity/pixel-fixtures.js';
import { readFile } from 'node:fs/promises';

const [WIDTH, HEIGHT] = [24, 16];

const values = (value: (i: number) => number): number[] =>
  Array.from({ length: WIDTH * HEIGHT }, (_, i) => value(i));
const rgb = (value: (i: number) => number): Uint8Array =>
  Uint8Array.from({ length: WIDTH * HEIGHT * 3 }, (_, i) => value(i));
const raw = { raw: { width: WIDTH, height: HEIGHT, channels: 3 } } as const;

/** A PNG of 16 bits whose levels use only the lower ones. */
function deepPng(bits: number): Promise<Buffer> {
  const levels = Uint16Array.from(
    rgb((i) => i % 256),
    (level) => level << (bits - 8),
  );
  return sharp(levels, raw).toColourspace('rgb16').png().toBuffer();
}

const SIZE = { width: WIDTH, height: HEIGHT };
const floatTiff = (levels: Float32Array): Buffer =>
  grayTiff({ ...SIZE, bits: 32, sampleFormat: 3 }, levels);
const tiff = (bits: number, levels: ArrayBufferView): Buffer =>
  grayTiff({ ...SIZE, bits, sampleFormat: 1 }, levels);

const ramp = values((i) => i / (WIDTH * HEIGHT - 1));

const DEEP = 'convert them to 8 bits per level$';

/** A black image whose stripes are in its alpha channel. */
function inAlpha(opaque = 255): Promise<Buffer> {
  const data = Buffer.alloc(WIDTH * HEIGHT * 4);
  for (let i = 3; i < data.length; i += 4) data[i] = i % 8 < 4 ? opaque : 0;
  return sharp(data, { raw: { width: WIDTH, height: HEIGHT, channels: 4 } })
    .png()
    .toBuffer();
}

describe('what is blank', () => {
  const files: [string, () => Promise<Buffer> | Buffer, string][] = [
    [
      'float TIFF from 0 to below 1',
      () => floatTiff(Float32Array.from(ramp, (v) => v * 0.9)),
      'a single colour (32-bit float TIFF)',
    ],
    [
      'float TIFF from 0 to 1',
      () => floatTiff(Float32Array.from(ramp)),
      'no level above 15 of 255 (32-bit float TIFF)',
    ],
    [
      'float TIFF from -1 to 0',
      () => floatTiff(Float32Array.from(ramp, (v) => v - 1)),
      'a single colour (32-bit float TIFF)',
    ],
    [
      '32-bit integers, all white in Pillow',
      () =>
        tiff(
          32,
          Uint32Array.from(ramp, (v) => 1e9 + v * 1e9),
        ),
      'a single colour (32-bit TIFF)',
    ],
    [
      'float TIFF from 0 to 65535',
      () => floatTiff(Float32Array.from(ramp, (v) => v * 65535)),
      '99.4 % of the levels at 255 (32-bit float TIFF)',
    ],
    [
      'float TIFF from 0 to 4095, white is zero',
      () =>
        grayTiff(
          { ...SIZE, bits: 32, sampleFormat: 3, tags: { 262: 0 } },
          Float32Array.from(ramp, (v) => v * 4095),
        ),
      '93.7 % of the levels at 255 (32-bit float TIFF)',
    ],
    [
      '32-bit integers from 0 to 65535',
      () =>
        tiff(
          32,
          Uint32Array.from(ramp, (v) => v * 65535),
        ),
      '99.4 % of the levels at 255 (32-bit TIFF)',
    ],
    [
      'signed 32-bit integers from -1000 to 100000',
      () =>
        grayTiff(
          { ...SIZE, bits: 32, sampleFormat: 2 },
          Int32Array.from(ramp, (v) => v * 101000 - 1000),
        ),
      '98.6 % of the levels at 255 (32-bit TIFF)',
    ],
    [
      '16 bits, white but for a pixel',
      () =>
        tiff(
          16,
          Uint16Array.from(ramp, (_, i) => (i === 9 ? 0 : 65535)),
        ),
      '99.7 % of the levels at 255 (16-bit TIFF)',
    ],
    ['10 bits in 16', () => deepPng(10), 'no level above 15 of 255 (16-bit PNG)'],
    ['12 bits in 16', () => deepPng(12), 'no level above 15 of 255 (16-bit PNG)'],
    [
      '10 bits in a 16-bit TIFF',
      () =>
        tiff(
          16,
          Uint16Array.from(ramp, (v) => v * 1023),
        ),
      'no level above 15 of 255 (16-bit TIFF)',
    ],
    [
      'labels from 0 to 3 in a PNG',
      () =>
        sharp(
          rgb((i) => i % 4),
          raw,
        )
          .png()
          .toBuffer(),
      'no level above 3 of 255 (PNG)',
    ],
    [
      'a plain JPEG',
      () =>
        sharp(
          rgb(() => 200),
          raw,
        )
          .jpeg()
          .toBuffer(),
      'a single colour (JPEG)',
    ],
  ];
  test.each(files)('%s', async (_, make, reason) => {
    const bytes = await make();
    const found = blankReason(await decodeImage(bytes), bytes, imageFormat(bytes));
    const advice = reason.includes('-bit') ? DEEP : '(look at|put) them';
    expect(found?.split('; if that is not meant, ')).toEqual([
      reason,
      expect.stringMatching(`^${advice}`),
    ]);
  });
});

describe('what is not', () => {
  const files: [string, () => Promise<Buffer> | Buffer][] = [
    [
      'a night: levels up to 4',
      () =>
        sharp(
          rgb((i) => i % 5),
          raw,
        )
          .png()
          .toBuffer(),
    ],
    [
      'one pixel that differs',
      () =>
        sharp(
          rgb((i) => (i < 3 ? 9 : 8)),
          raw,
        )
          .png()
          .toBuffer(),
    ],
    ['16 bits', () => deepPng(16)],
    ['13 bits in 16', () => deepPng(13)],
    [
      '16-bit TIFF, a drawing of one line on white',
      () =>
        tiff(
          16,
          Uint16Array.from(ramp, (_, i) => (i < WIDTH ? 0 : 65535)),
        ),
    ],
    [
      'float TIFF of a thing on white',
      () => floatTiff(Float32Array.from(ramp, (v) => (v < 0.2 ? 90 : 255))),
    ],
    [
      '32-bit integers from 0 to 1023',
      () =>
        tiff(
          32,
          Uint32Array.from(ramp, (v) => v * 1023),
        ),
    ],
    [
      'an almost white PNG of 8 bits',
      () =>
        sharp(
          rgb((i) => (i === 9 ? 0 : 255)),
          raw,
        )
          .png()
          .toBuffer(),
    ],
    ['float TIFF from 0 to 255', () => floatTiff(Float32Array.from(ramp, (v) => v * 255))],
  ];
  test.each(files)('%s', async (_, make) => {
    const bytes = await make();
    expect(blankReason(await decodeImage(bytes), bytes, imageFormat(bytes))).toBeNull();
  });

  test.each(Object.keys(references.decode))('%s', async (name) => {
    const bytes = await readFile(decodeFixture(name));
    expect(blankReason(await decodeImage(bytes), bytes, imageFormat(bytes))).toBeNull();
  });
});

describe('advice', () => {
  const background = 'put them on a background: transparency is dropped, as in torchvision';
  const files: [string, () => Promise<Buffer> | Buffer, string][] = [
    ['a black PNG with its drawing in alpha', () => inAlpha(), background],
    ['the same, half transparent', () => inAlpha(128), background],
    [
      'the same in gray',
      async () =>
        sharp(await inAlpha())
          .toColourspace('b-w')
          .png()
          .toBuffer(),
      background,
    ],
    [
      'the same in 16 bits',
      async () =>
        sharp(await inAlpha())
          .toColourspace('rgb16')
          .png()
          .toBuffer(),
      `convert them to 8 bits per level, and ${background}`,
    ],
    [
      'a TIFF with alpha',
      async () =>
        sharp(await inAlpha())
          .tiff({ compression: 'lzw' })
          .toBuffer(),
      background,
    ],
    [
      'a white PNG',
      () =>
        sharp(
          rgb(() => 255),
          raw,
        )
          .png()
          .toBuffer(),
      'look at them, and replace or remove them',
    ],
  ];
  test.each(files)('%s', async (_, make, advice) => {
    const bytes = await make();
    const reason = blankReason(await decodeImage(bytes), bytes, imageFormat(bytes));
    expect(reason?.split('; if that is not meant, ')[1]).toBe(advice);
  });
});

test('one warning, with number, example and reason', () => {
  const reason = 'a single colour (32-bit float TIFF); if that is not meant, convert them';
  const images = ['a.tif', 'b.tif'].map((path) => ({ path, reason }));
  expect(blankWarnings(images, 12)).toEqual([
    '2 of 12 images have nothing to see on them after decoding, e.g. a.tif: ' +
      'a single colour (32-bit float TIFF); if that is not meant, convert them',
  ]);
  expect(blankWarnings([], 12)).toEqual([]);
});
