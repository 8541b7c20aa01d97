/** Makes image files of many kinds, all of one picture with fine detail, noise and every alpha. */

import { crc32 } from 'node:zlib';
import sharp, { type Sharp } from 'sharp';
import { imageSize } from '../../src/images/image-size.js';

/** Odd sides, so that the last blocks of a JPEG file are partial. */
const WIDTH = 61;
const HEIGHT = 43;

/** RGBA, row by row. Alpha has every value from 0 to 255. */
const LEVELS = ((): Uint8Array => {
  const levels = new Uint8Array(WIDTH * HEIGHT * 4);
  let seed = 1;
  const noise = (): number => (seed = (seed * 1664525 + 1013904223) >>> 0) >>> 27;
  for (let i = 0; i < WIDTH * HEIGHT; i++) {
    const [x, y] = [i % WIDTH, Math.floor(i / WIDTH)];
    levels.set([4 * x + noise(), 5 * y, (x * y) & 255, (x * 7 + y * 3) & 255], 4 * i);
  }
  return levels;
})();

const rgba = (): Sharp => sharp(LEVELS, { raw: { width: WIDTH, height: HEIGHT, channels: 4 } });
const rgb = (): Sharp => rgba().removeAlpha();
const cmyk = (): Sharp => rgb().toColourspace('cmyk');

/** Returns two frames: the picture, and its negative. */
async function frames(): Promise<Sharp> {
  const second = rgba().negate({ alpha: false });
  const images = [await rgba().png().toBuffer(), await second.png().toBuffer()];
  return sharp(images, { join: { animated: true } });
}

/** Inserts a chunk after a PNG file's header. */
async function withChunk(kind: string, content: Buffer): Promise<Buffer> {
  const png = await rgba().png().toBuffer();
  const checked = Buffer.concat([Buffer.from(kind), content]);
  const chunk = Buffer.alloc(checked.length + 8);
  chunk.writeUInt32BE(content.length, 0);
  checked.copy(chunk, 4);
  chunk.writeUInt32BE(crc32(checked), checked.length + 4);
  return Buffer.concat([png.subarray(0, 33), chunk, png.subarray(33)]);
}

const gamma = Buffer.alloc(4);
gamma.writeUInt32BE(100_000);

/** Files whose levels are the same in every way in. */
export const imageFiles: Readonly<Record<string, () => Promise<Buffer>>> = {
  'JPEG 4:2:0, odd sides': () => rgb().jpeg({ quality: 85 }).toBuffer(),
  'JPEG 4:4:4': () => rgb().jpeg({ chromaSubsampling: '4:4:4' }).toBuffer(),
  'JPEG of low quality': () => rgb().jpeg({ quality: 15 }).toBuffer(),
  'JPEG, progressive': () => rgb().jpeg({ progressive: true }).toBuffer(),
  'JPEG by mozjpeg': () => rgb().jpeg({ mozjpeg: true }).toBuffer(),
  'JPEG, gray': () => rgb().grayscale().jpeg().toBuffer(),
  'JPEG, wide gamut': () => rgb().withIccProfile('p3').jpeg().toBuffer(),
  'PNG, alpha': () => rgba().png().toBuffer(),
  'PNG, alpha, interlaced': () => rgba().png({ progressive: true }).toBuffer(),
  'PNG, palette with alpha': () => rgba().png({ palette: true }).toBuffer(),
  'PNG, palette of 4 bits': () => rgba().png({ palette: true, colours: 16 }).toBuffer(),
  'PNG, gray with alpha': () => rgba().grayscale().png().toBuffer(),
  'PNG, 16 bits with alpha': () => rgba().toColourspace('rgb16').png().toBuffer(),
  'PNG, 16 bits, gray': () => rgb().toColourspace('grey16').png().toBuffer(),
  'PNG, wide gamut': () => rgba().withIccProfile('p3').png().toBuffer(),
  'PNG, linear gamma': () => withChunk('gAMA', gamma),
  'PNG, sRGB': () => withChunk('sRGB', Buffer.of(0)),
  'PNG, its own white': () => withChunk('bKGD', Buffer.of(0, 200, 0, 10, 0, 10)),
  GIF: () => rgb().gif().toBuffer(),
  'GIF with transparent pixels': () => rgba().gif().toBuffer(),
  'GIF, animated': async () => (await frames()).gif().toBuffer(),
  'WebP, lossy': () => rgb().webp({ quality: 70 }).toBuffer(),
  'WebP, lossy with alpha': () => rgba().webp({ quality: 70 }).toBuffer(),
  'WebP, lossless with alpha': () => rgba().webp({ lossless: true }).toBuffer(),
  'WebP, lossless, exact': () => rgba().webp({ lossless: true, exact: true }).toBuffer(),
  'WebP, wide gamut': () => rgb().withIccProfile('p3').webp().toBuffer(),
  'WebP, animated': async () => (await frames()).webp({ lossless: true }).toBuffer(),
  'WebP, animated, in a corner': async () =>
    animatedWebp(await rgb().webp().toBuffer(), { left: 10, top: 4, width: 90, height: 70 }),
  'WebP, animated, with alpha, in a corner': async () =>
    animatedWebp(await rgba().webp({ lossless: true }).toBuffer(), {
      left: 0,
      top: 20,
      width: 80,
      height: 70,
    }),
  'WebP, animated, lossy with alpha': async () =>
    animatedWebp(await rgba().webp().toBuffer(), { left: 0, top: 0, width: 61, height: 43 }),
  'WebP, animated, lossy': async () => (await frames()).webp().toBuffer(),
};

/** Largest difference of a level that two AVIF decoders may have; src/images/decode.ts says why. */
export const AVIF_LEVELS = 12;

/** Files whose levels browsers give with small differences; the number is the largest. */
export const otherFiles: Readonly<Record<string, readonly [number, () => Promise<Buffer>]>> = {
  'JPEG, CMYK with black': [1, () => cmyk().jpeg().toBuffer()],
  'JPEG, CMYK with a profile': [1, () => cmyk().withIccProfile('cmyk').jpeg().toBuffer()],
  AVIF: [AVIF_LEVELS, () => rgb().avif({ effort: 0 }).toBuffer()],
  'AVIF, lossless': [AVIF_LEVELS, () => rgb().avif({ lossless: true, effort: 0 }).toBuffer()],
};

/** Returns the picture as a JPEG file of another size. */
export function resizedJpeg(width: number, height: number): Promise<Buffer> {
  return rgb().resize(width, height, { fit: 'fill' }).jpeg().toBuffer();
}

/** Returns an AVIF file with half-transparent pixels. */
export const transparentAvif = (): Promise<Buffer> => rgba().avif({ effort: 0 }).toBuffer();

/** Returns a photograph as a phone stores it: upright only if EXIF's orientation 6 is applied. */
export const phonePhoto = (): Promise<Buffer> =>
  rgb().withMetadata({ orientation: 6 }).jpeg({ quality: 95 }).toBuffer();

/** Returns a PNG file with every alpha. */
export const alphaPng = (): Promise<Buffer> => rgba().png().toBuffer();

interface FramePlace {
  readonly left: number;
  readonly top: number;
  /** Size of the canvas. */
  readonly width: number;
  readonly height: number;
}

/** Makes an animated WebP file of one frame, which may be smaller than the canvas. `left` and `top` are even. */
export function animatedWebp(still: Buffer, { left, top, width, height }: FramePlace): Buffer {
  const chunk = (name: string, content: Buffer): Buffer => {
    const head = Buffer.from(`${name}\0\0\0\0`);
    head.writeUInt32LE(content.length, 4);
    return Buffer.concat([head, content, Buffer.alloc(content.length % 2)]);
  };
  const three = (number: number): Buffer =>
    Buffer.of(number & 255, (number >> 8) & 255, number >> 16);
  // A still file is one chunk of pixels, or its size and alpha before them.
  const extended = still.toString('latin1', 12, 16) === 'VP8X';
  const size = imageSize(still, 'webp') ?? { width: 1, height: 1 };
  const frame = Buffer.concat([
    ...[left / 2, top / 2, size.width - 1, size.height - 1, 100].map(three),
    Buffer.of(0),
    still.subarray(extended ? 30 : 12),
  ]);
  const body = Buffer.concat([
    Buffer.from('WEBP'),
    chunk('VP8X', Buffer.concat([Buffer.of(0x12, 0, 0, 0), three(width - 1), three(height - 1)])),
    chunk('ANIM', Buffer.alloc(6)),
    chunk('ANMF', frame),
  ]);
  return chunk('RIFF', body);
}

/** Returns a PPM file, which browsers do not show. */
export async function plainPpm(): Promise<Buffer> {
  return Buffer.concat([Buffer.from(`P6 ${WIDTH} ${HEIGHT} 255\n`), await rgb().raw().toBuffer()]);
}
