/**
 * Reads BMP, as Pillow does: 1, 4 and 8 bits with a palette, run-length encoded or not, 16, 24 and 32 bits, the
 * headers of Windows (versions 3 to 5) and of OS/2, rows from the bottom or from the top. Alpha is dropped.
 */

import type { RgbImage } from '../../platform/platform.js';
import { decodeRuns } from './bmp-runs.js';
import {
  blankImage,
  checkImageSize,
  grayPalette,
  isGray,
  paint,
  toPalette,
  truncated,
  type Palette,
} from './canvas.js';

const KIND = 'a BMP file';
const HEADER_SIZES = [12, 40, 52, 56, 64, 108, 124];
const [RAW, RLE8, RLE4, BITFIELDS, JPEG, PNG] = [0, 1, 2, 3, 4, 5];

interface Header {
  readonly size: number;
  readonly width: number;
  readonly height: number;
  readonly isTopDown: boolean;
  readonly bits: number;
  readonly compression: number;
  /** Number of colours in the palette. */
  readonly colours: number;
  /** Offset of the pixels; 0 if they follow the palette. */
  readonly offset: number;
}

/** @throws Error saying what is wrong with the file. */
export function decodeBmp(bytes: Uint8Array): RgbImage {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const header = readHeader(view);
  const { width, height, bits, compression } = header;
  checkImageSize(bytes, width, height);
  const hasRuns = compression === RLE8 || compression === RLE4;
  if (bits > 8) {
    if (hasRuns) throw new Error(`${KIND} with runs of ${bits} bits per pixel`);
    return decodeColours(view, header);
  }
  if (![1, 4, 8].includes(bits)) throw new Error(`${KIND} of ${bits} bits per pixel`);
  if (compression === BITFIELDS) throw new Error(`${KIND} with colour masks and a palette`);
  const { palette, end } = readPalette(bytes, header);
  const from = header.offset || end;
  const indices = hasRuns
    ? decodeRuns(bytes, from, { width, height, isRle4: compression === RLE4 })
    : unpackIndices(bytes, from, header);
  if (indices === null) throw truncated(KIND);
  return paint(header.isTopDown ? indices : flipped(indices, width), palette, header);
}

function readHeader(view: DataView): Header {
  if (view.byteLength < 18) throw truncated(KIND);
  const size = view.getUint32(14, true);
  if (!HEADER_SIZES.includes(size))
    throw new Error(`${KIND} with an unknown header of ${size} bytes`);
  if (view.byteLength < 14 + size) throw truncated(KIND);
  const isCore = size === 12;
  const bits = view.getUint16(isCore ? 24 : 28, true);
  const compression = isCore ? RAW : view.getUint32(30, true);
  if (compression === JPEG || compression === PNG) {
    throw new Error(`${KIND} with a ${compression === JPEG ? 'JPEG' : 'PNG'} file inside`);
  }
  if (![RAW, RLE8, RLE4, BITFIELDS].includes(compression)) {
    throw new Error(`${KIND} of the unknown compression ${compression}`);
  }
  // A negative height says that the first row is the top one.
  const height = isCore ? view.getUint16(20, true) : view.getInt32(22, true);
  const colours = (isCore ? 0 : view.getUint32(46, true)) || 2 ** Math.min(bits, 8);
  let offset = view.getUint32(10, true);
  // Some programs forget the palette when they say where the pixels start.
  if (offset === 14 + size && bits <= 8) offset += (isCore ? 3 : 4) * colours;
  return {
    ...{ size, bits, compression, colours, offset, isTopDown: height < 0 },
    width: isCore ? view.getUint16(18, true) : view.getInt32(18, true),
    height: Math.abs(height),
  };
}

function readPalette(
  bytes: Uint8Array,
  { size, colours }: Header,
): { palette: Palette; end: number } {
  if (colours > 65536) throw new Error(`${KIND} with a palette of ${colours} colours`);
  const step = size === 12 ? 3 : 4;
  const start = 14 + size;
  const levels = new Uint8Array(Math.min(colours, 256) * 3);
  for (let i = 0; i < levels.length / 3; i++) {
    const at = start + i * step;
    if (at + 3 > bytes.length) throw truncated(KIND);
    // Blue comes first.
    for (let channel = 0; channel < 3; channel++) {
      levels[i * 3 + channel] = bytes[at + 2 - channel] ?? 0;
    }
  }
  const palette = isGray(levels) ? grayPalette() : toPalette(levels);
  return { palette, end: start + colours * step };
}

/** Returns the bytes from one row to the next: rows begin at multiples of four bytes. */
function rowBytes({ width, bits }: Header): number {
  return Math.ceil((width * bits) / 32) * 4;
}

/** Returns the offset of the last row's end. Its padding may be missing. */
function pixelsEnd(from: number, header: Header): number {
  const { width, height, bits } = header;
  return from + (height - 1) * rowBytes(header) + Math.ceil((width * bits) / 8);
}

function unpackIndices(bytes: Uint8Array, from: number, header: Header): Uint8Array | null {
  const { width, height, bits } = header;
  if (pixelsEnd(from, header) > bytes.length) return null;
  const indices = new Uint8Array(width * height);
  const stride = rowBytes(header);
  const mask = 2 ** bits - 1;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const bit = x * bits;
      const byte = bytes[from + y * stride + (bit >> 3)] ?? 0;
      indices[y * width + x] = (byte >> (8 - bits - (bit & 7))) & mask;
    }
  }
  return indices;
}

/** Turns rows from the bottom into rows from the top. */
function flipped(indices: Uint8Array, width: number): Uint8Array {
  const result = new Uint8Array(indices.length);
  for (let from = 0; from < indices.length; from += width) {
    result.set(indices.subarray(from, from + width), indices.length - width - from);
  }
  return result;
}

/** Reads pixels that hold their colours: 16, 24 or 32 bits, each channel under its mask. */
function decodeColours(view: DataView, header: Header): RgbImage {
  const { width, height, bits, isTopDown } = header;
  if (![16, 24, 32].includes(bits)) throw new Error(`${KIND} of ${bits} bits per pixel`);
  const { masks, end } = readMasks(view, header);
  const channels = masks.map(toChannel);
  const from = header.offset || end;
  if (pixelsEnd(from, header) > view.byteLength) throw truncated(KIND);
  const image = blankImage(width, height);
  const [stride, step] = [rowBytes(header), bits / 8];
  for (let y = 0; y < height; y++) {
    let to = (isTopDown ? y : height - 1 - y) * width * 3;
    for (let x = 0; x < width; x++) {
      const at = from + y * stride + x * step;
      const pixel =
        bits === 32
          ? view.getUint32(at, true)
          : view.getUint16(at, true) | (bits === 24 ? view.getUint8(at + 2) << 16 : 0);
      for (const { shift, levels } of channels) {
        const level = (pixel >>> shift) & levels;
        image.data[to++] = levels === 255 ? level : Math.floor((level * 255) / levels);
      }
    }
  }
  return image;
}

const DEFAULT_MASKS: readonly number[] = [0xff0000, 0xff00, 0xff];

/** Reads the masks of red, green and blue. */
function readMasks(view: DataView, header: Header): { masks: readonly number[]; end: number } {
  const end = 14 + header.size;
  if (header.compression !== BITFIELDS) {
    return { masks: header.bits === 16 ? [0x7c00, 0x3e0, 0x1f] : DEFAULT_MASKS, end };
  }
  // They stand at offset 54: in a longer header, or behind a short one.
  if (view.byteLength < 66) throw truncated(KIND);
  const masks = [54, 58, 62].map((at) => view.getUint32(at, true));
  const after = Math.max(end, 66);
  return masks.every((mask) => mask === 0)
    ? { masks: DEFAULT_MASKS, end: after }
    : { masks, end: after };
}

/** @throws Error unless the mask is one run of at most 16 bits. */
function toChannel(mask: number): { readonly shift: number; readonly levels: number } {
  const shift = mask === 0 ? 0 : 31 - Math.clz32(mask & -mask);
  const levels = mask >>> shift;
  if (levels === 0 || levels > 0xffff || (levels & (levels + 1)) !== 0) {
    throw new Error(`${KIND} with the colour mask ${mask.toString(16)}`);
  }
  return { shift, levels };
}
