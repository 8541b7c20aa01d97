/** Holds: an orientation in EXIF is found in every format that may have one, and never made up. */

import { describe, expect, test } from '@jest/globals';
import sharp from 'sharp';
import { exifOrientation } from '../../../src/images/orientation.js';

async function withOrientation(format: 'jpeg' | 'png' | 'webp' | 'tiff', orientation?: number) {
  const image = sharp({ create: { width: 5, height: 3, channels: 3, background: 'teal' } });
  const metadata = orientation === undefined ? image : image.withMetadata({ orientation });
  return metadata.toFormat(format).toBuffer();
}

/** An EXIF block in big-endian order whose only tag is the orientation, a short. */
const block = (orientation: number): number[] => [
  ...[0x4d, 0x4d, 0, 42, 0, 0, 0, 8, 0, 1],
  ...[0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0],
];
const exif = [0x45, 0x78, 0x69, 0x66, 0, 0];
const jpegWith = (content: readonly number[]): Uint8Array =>
  Uint8Array.from([0xff, 0xd8, 0xff, 0xe1, 0, content.length + 2, ...content]);

describe('exifOrientation', () => {
  test.each([
    ['jpeg', 6],
    ['png', 8],
    ['webp', 3],
    ['tiff', 5],
  ] as const)('%s', async (format, orientation) => {
    expect(exifOrientation(await withOrientation(format, orientation))).toBe(orientation);
  });

  test.each(['jpeg', 'png', 'webp'] as const)('%s without one', async (format) => {
    expect(exifOrientation(await withOrientation(format))).toBeNull();
  });

  test.each([
    ['big endian', jpegWith([...exif, ...block(7)]), 7],
    ['prefix written twice', jpegWith([...exif, ...exif, ...block(2)]), 2],
    ['out of range', jpegWith([...exif, ...block(9)]), null],
    ['cut off in the directory', jpegWith([...exif, ...block(6).slice(0, 15)]), null],
    ['another block of APP1', jpegWith([0x68, 0x74, 0x74, 0x70, 0, 0, ...block(6)]), null],
    ['an empty file', new Uint8Array(), null],
    ['text', Uint8Array.from(Buffer.from('not an image')), null],
  ])('%s', (_, bytes, expected) => {
    expect(exifOrientation(bytes)).toBe(expected);
  });
});
