/** Holds: the same pixels in every way in; here the parts of the page's decoder that need no browser. */

import { readFileSync } from 'node:fs';
import sharp from 'sharp';
import { describe, expect, test } from '@jest/globals';
import { decodeInBrowser, type BrowserDecoders } from '../../../src/images/browser-decoder.js';
import { imageSize } from '../../../src/images/image-size.js';
import { hasJpegEnd, withoutExif } from '../../../src/images/formats/jpeg-segments.js';
import { hasIntactPixels } from '../../../src/images/formats/png-checksums.js';
import type { ImageFormat } from '../../../src/images/signatures.js';
import { firstWebpFrame } from '../../../src/images/formats/webp-frame.js';
import { decodeFixture, references } from '../../parity/pixel-fixtures.js';
import { animatedWebp, imageFiles, phonePhoto } from '../../support/image-files.js';

const fixture = (name: string): Buffer => readFileSync(decodeFixture(name));
/** Inserts bytes after the first two of a JPEG file. */
const inserted = (jpeg: Buffer, bytes: Buffer): Buffer =>
  Buffer.concat([jpeg.subarray(0, 2), bytes, jpeg.subarray(2)]);

describe('EXIF is hidden from decoders that obey it', () => {
  const exif = (photo: Buffer): Buffer => {
    const at = photo.indexOf('Exif\0\0') - 4;
    return photo.subarray(at, at + 2 + photo.readUInt16BE(at + 2));
  };
  test.each<[string, (photo: Buffer) => Buffer]>([
    ['as a phone writes it', (photo) => photo],
    ['behind fill bytes', (photo) => inserted(photo, Buffer.of(0xff, 0xff))],
    ['behind stray bytes', (photo) => inserted(photo, Buffer.of(0, 7))],
    ['twice', (photo) => inserted(photo, exif(photo))],
    ['behind a comment', (photo) => inserted(photo, Buffer.of(0xff, 0xfe, 0, 4, 0xff, 0xe1))],
  ])('%s', async (_, change) => {
    const photo = change(await phonePhoto());
    const before = Buffer.from(photo);
    const hidden = withoutExif(photo);
    expect((await sharp(hidden).metadata()).orientation).toBeUndefined();
    // libjpeg only warns about stray bytes.
    const pixels = (bytes: Uint8Array): Promise<Buffer> =>
      sharp(bytes, { failOn: 'error' }).raw().toBuffer();
    expect(await pixels(hidden)).toEqual(await pixels(photo));
    expect(photo).toEqual(before);
  });

  test.each(['rgb.jpg', 'progressive.jpg', 'cmyk.jpg', 'stray-bytes.jpg', 'trailing-bytes.jpg'])(
    '%s has none and stays as it is',
    (name) => {
      expect(Buffer.from(withoutExif(fixture(name)))).toEqual(fixture(name));
    },
  );

  test('files that are cut off anywhere do no harm', async () => {
    const photo = await phonePhoto();
    for (let length = 0; length < 200; length++) {
      expect(withoutExif(photo.subarray(0, length))).toHaveLength(length);
    }
  });

  test.each(Object.keys(references.decode).filter((name) => name.endsWith('.jpg')))(
    '%s reaches its end, a part of it does not',
    (name) => {
      const jpeg = fixture(name);
      if (jpeg[0] !== 0xff) return;
      expect(hasJpegEnd(jpeg)).toBe(true);
      const end = jpeg.lastIndexOf(Buffer.of(0xff, 0xd9));
      for (let length = 2; length <= end; length++) {
        expect(hasJpegEnd(jpeg.subarray(0, length))).toBe(false);
      }
    },
  );
});

describe('the size in the header', () => {
  const sized = Object.entries(imageFiles).filter(([name]) => !name.startsWith('GIF'));
  test.each(sized)('%s', async (name, make) => {
    const bytes = await make();
    const format = name.split(/\W/, 1)[0]?.toLowerCase() as ImageFormat;
    const { width, height, pageHeight = height } = await sharp(bytes).metadata();
    expect(imageSize(bytes, format)).toEqual({ width, height: pageHeight });
    expect(imageSize(bytes.subarray(0, 13), format)).toBeNull();
  });

  test.each<[number, number]>([
    [1, 1],
    [16_383, 2],
    [300, 257],
  ])('%i x %i, WebP of each kind', async (width, height) => {
    const create = { width, height, channels: 4, background: '#36a8' } as const;
    const still = sharp({ create });
    const opaque = still.clone().removeAlpha();
    const files = [still.webp(), still.webp({ lossless: true }), opaque.webp()];
    for (const file of files) {
      expect(imageSize(await file.toBuffer(), 'webp')).toEqual({ width, height });
    }
  });
});

describe('the first frame of an animated WebP', () => {
  test('is a still image, with its place', async () => {
    const still = await sharp(fixture('rgba.webp')).webp({ lossless: true }).toBuffer();
    const frame = firstWebpFrame(animatedWebp(still, { left: 4, top: 6, width: 40, height: 30 }));
    expect(frame).toMatchObject({ left: 4, top: 6, canvas: { width: 40, height: 30 } });
    const pixels = (bytes: Uint8Array): Promise<Buffer> => sharp(bytes).raw().toBuffer();
    expect(await pixels(frame?.bytes ?? still.subarray(0, 0))).toEqual(await pixels(still));
  });

  test('a still image has none; a cut-off animation has none that is whole', () => {
    expect(firstWebpFrame(fixture('rgba.webp'))).toBeNull();
    expect(() => firstWebpFrame(fixture('animated.webp').subarray(0, 90))).toThrow('first frame');
  });
});

describe('the checksums of a PNG', () => {
  const names = Object.keys(references.decode).filter((name) => name.endsWith('.png'));
  test.each(names)('%s is intact', (name) => {
    expect(hasIntactPixels(fixture(name))).toBe(true);
    expect(hasIntactPixels(Buffer.concat([fixture(name), Buffer.from('behind')]))).toBe(true);
  });

  test.each(['rgb.png', 'palette.png', 'gray-16bit.png'])('%s, each byte changed', (name) => {
    const png = fixture(name);
    for (let at = 8; at < png.length; at++) {
      const copy = Buffer.from(png);
      copy.writeUInt8(copy.readUInt8(at) ^ 1, at);
      expect(hasIntactPixels(copy)).toBe(false);
      expect(hasIntactPixels(png.subarray(0, at))).toBe(false);
    }
  });

  test('chunks that the pixels do not need may be damaged, as in libpng', () => {
    const png = fixture('gamma.png');
    png.writeUInt8(7, png.indexOf('gAMA') + 4);
    expect(hasIntactPixels(png)).toBe(true);
  });
});

test.each<[string, string]>([
  ['rgb.png', 'a PNG file that is damaged'],
  ['rgb.jpg', 'a JPEG file that is damaged'],
  ['gray.tif', 'a TIFF file'],
])('a decoder that fails on %s: the error says what was found', async (name, found) => {
  const fail = (): Promise<never> => Promise.reject(new Error('unreachable'));
  const decoders: BrowserDecoders = { canvas: fail, png: fail, webp: fail };
  await expect(decodeInBrowser(Uint8Array.from(fixture(name)), 'ignore', decoders)).rejects.toThrow(
    `expected a JPEG, PNG, WebP, GIF, AVIF, BMP or PNM image, found ${found}`,
  );
});
