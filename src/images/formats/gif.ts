/**
 * Reads the first frame of a GIF file, as Pillow does. A transparent pixel has its palette's colour. Pixels around a
 * frame that is smaller than the canvas have the transparent colour, or without one the palette's first.
 */

import type { RgbImage } from '../../platform/platform.js';
import {
  checkImageSize,
  grayPalette,
  isGray,
  paint,
  toPalette,
  truncated,
  type Palette,
} from './canvas.js';
import { decodeLzw } from './gif-lzw.js';

const KIND = 'a GIF file';
const [EXTENSION, IMAGE, TRAILER] = [0x21, 0x2c, 0x3b];
const GRAPHIC_CONTROL = 0xf9;

interface Frame {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  readonly isInterlaced: boolean;
  /** Its own palette; null if it uses the file's. */
  readonly palette: Palette | null;
}

/** @throws Error saying what is wrong with the file. */
export function decodeGif(bytes: Uint8Array): RgbImage {
  const reader = new Reader(bytes);
  reader.skip(6);
  const screen = { width: reader.short(), height: reader.short() };
  const flags = reader.byte();
  reader.skip(2);
  const common = flags & 0x80 ? reader.palette(flags) : null;
  const transparent = findFrame(reader);
  const frame = readFrame(reader);
  if (frame.width < 1 || frame.height < 1) throw new Error(`${KIND} with an empty frame`);
  // A frame may be larger than the canvas that the header promises.
  const width = Math.max(screen.width, frame.left + frame.width);
  const height = Math.max(screen.height, frame.top + frame.height);
  checkImageSize(bytes, width, height);
  const canvas = new Uint8Array(width * height).fill(transparent ?? 0);
  const bits = reader.byte();
  if (bits > 12) throw new Error(`${KIND} with codes of ${bits} bits`);
  const rows = rowOffsets(frame, width);
  const problem = decodeLzw(bytes.subarray(reader.at), bits, { canvas, rows, width: frame.width });
  if (problem === 'cut off') throw truncated(KIND);
  if (problem === 'damaged') throw new Error(`${KIND} with damaged pixels`);
  return paint(canvas, frame.palette ?? common ?? grayPalette(), { width, height });
}

/** Reads up to the first frame; returns its transparent index, or null. */
function findFrame(reader: Reader): number | null {
  let transparent: number | null = null;
  for (;;) {
    const byte = reader.byte();
    if (byte === IMAGE) return transparent;
    if (byte === TRAILER) throw new Error(`${KIND} without an image`);
    if (byte !== EXTENSION) continue;
    const label = reader.byte();
    const block = reader.block();
    if (label === GRAPHIC_CONTROL && block.length >= 4 && (block[0] ?? 0) & 1) {
      transparent = block[3] ?? null;
    }
    for (let rest = block; rest.length > 0;) rest = reader.block();
  }
}

function readFrame(reader: Reader): Frame {
  const [left, top] = [reader.short(), reader.short()];
  const [width, height] = [reader.short(), reader.short()];
  const flags = reader.byte();
  const palette = flags & 0x80 ? reader.palette(flags) : null;
  return { left, top, width, height, isInterlaced: (flags & 0x40) !== 0, palette };
}

/** Returns the offset of each row's first pixel in the canvas, in the order in which the file has the rows. */
function rowOffsets({ left, top, height, isInterlaced }: Frame, width: number): number[] {
  const passes = isInterlaced
    ? [
        [0, 8],
        [4, 8],
        [2, 4],
        [1, 2],
      ]
    : [[0, 1]];
  const rows: number[] = [];
  for (const [start = 0, step = 1] of passes) {
    for (let y = start; y < height; y += step) rows.push((top + y) * width + left);
  }
  return rows;
}

/** Reads the parts of the file one after the other. */
class Reader {
  at = 0;

  constructor(private readonly bytes: Uint8Array) {}

  byte(): number {
    const byte = this.bytes[this.at++];
    if (byte === undefined) throw truncated(KIND);
    return byte;
  }

  short(): number {
    return this.byte() + this.byte() * 256;
  }

  skip(length: number): void {
    this.at += length;
  }

  /** Reads a block: its length and its bytes. An empty one ends a sequence. */
  block(): Uint8Array {
    const length = this.byte();
    const block = this.bytes.subarray(this.at, this.at + length);
    this.at += length;
    return block;
  }

  /**
   * Reads a palette whose size is in `flags`. Like Pillow, it takes one that is plain gray for none: then the
   * file's own palette counts, or all indices are levels of gray.
   */
  palette(flags: number): Palette | null {
    const size = 3 * 2 ** ((flags & 7) + 1);
    if (this.at + size > this.bytes.length) throw truncated(KIND);
    const colours = this.bytes.subarray(this.at, this.at + size);
    this.at += size;
    return isGray(colours) ? null : toPalette(colours);
  }
}
