/** Holds: a TIFF file that is not refused has Pillow's pixels, whatever its tags say. Levels were read with Pillow 12. */

import { expect, test } from '@jest/globals';
import { decodeImage } from '../../../src/platform/node/sharp-decoder.js';
import { grayTiff, type GrayLayout } from '../../support/gray-tiff.js';

type Rest = Omit<GrayLayout, 'width' | 'height'>;

const encode = (layout: Rest, levels: ArrayBufferView, width = 4): Buffer =>
  grayTiff({ width, height: 1, ...layout }, levels);
const bytes = Uint8Array.of(0, 100, 128, 255);
const unsigned = { bits: 8, sampleFormat: 1 } as const;
const cmyk = Uint8Array.of(0, 0, 0, 0, 255, 0, 0, 0, 0, 255, 0, 128);

const red = async (image: Buffer): Promise<number[]> => {
  const { data } = await decodeImage(image);
  return [...data].filter((_, i) => i % 3 === 0);
};

test.each<[string, Buffer, number[]]>([
  ['signed bytes', encode({ bits: 8, sampleFormat: 2 }, bytes), [0, 100, 128, 255]],
  [
    'signed 32 bits',
    encode({ bits: 32, sampleFormat: 2 }, Int32Array.of(-5, 100, 255, 999)),
    [0, 100, 255, 255],
  ],
  [
    'unsigned 32 bits',
    encode({ bits: 32, sampleFormat: 1 }, Uint32Array.of(0, 100, 255, 999)),
    [0, 100, 255, 255],
  ],
  [
    'floats',
    encode({ bits: 32, sampleFormat: 3 }, Float32Array.of(-5, 100, 255, 999)),
    [0, 100, 255, 255],
  ],
  [
    'floats, white is zero, which Pillow does not invert',
    encode({ bits: 32, sampleFormat: 3, tags: { 262: 0 } }, Float32Array.of(-5, 100, 255, 999)),
    [0, 100, 255, 255],
  ],
  ['white is zero', encode({ ...unsigned, tags: { 262: 0 } }, bytes), [255, 155, 127, 0]],
  ['orientation 0', encode({ ...unsigned, tags: { 274: 0 } }, bytes), [0, 100, 128, 255]],
  ['orientation 2', encode({ ...unsigned, tags: { 274: 2 } }, bytes), [255, 128, 100, 0]],
  ['orientation 9', encode({ ...unsigned, tags: { 274: 9 } }, bytes), [0, 100, 128, 255]],
  ['orientation 60000', encode({ ...unsigned, tags: { 274: 60000 } }, bytes), [0, 100, 128, 255]],
  [
    'signed bytes of orientation 0',
    encode({ bits: 8, sampleFormat: 2, tags: { 274: 0 } }, bytes),
    [0, 100, 128, 255],
  ],
  ['CMYK', encode({ ...unsigned, tags: { 262: 5, 277: 4 } }, cmyk, 3), [255, 0, 127]],
  [
    'four inks that are not called CMYK',
    encode({ ...unsigned, tags: { 262: 5, 277: 4, 332: 2 } }, cmyk, 3),
    [255, 0, 127],
  ],
])('%s', async (_, image, levels) => {
  const before = Buffer.from(image);
  expect(await red(image)).toEqual(levels);
  // The caller's bytes are hashed; they must stay as they are.
  expect(image.equals(before)).toBe(true);
});
