/** Reads PBM, PGM and PPM (P1 to P6), as Pillow does. 16-bit gray gives its high byte, see images/decode.ts. */

import { roundHalfEven } from '../../common/rounding.js';
import type { RgbImage } from '../../platform/platform.js';
import { blankImage, checkImageSize, truncated } from './canvas.js';

const SPACES = [0x20, 0x09, 0x0a, 0x0b, 0x0c, 0x0d];
const [NEWLINE, RETURN, HASH] = [0x0a, 0x0d, 0x23];
/** Longest number, in characters. */
const MAX_TOKEN = 10;

/** @throws Error saying what is wrong with the file. */
export function decodePnm(bytes: Uint8Array): RgbImage {
  const kind = ['', 'a PBM file', 'a PGM file', 'a PPM file'][variant(bytes)] ?? '';
  const reader = new Tokens(bytes, kind);
  const [width, height] = [reader.number(), reader.number()];
  checkImageSize(bytes, width, height);
  const isPlain = (bytes[1] ?? 0) <= 0x33;
  const channels = variant(bytes) === 3 ? 3 : 1;
  if (variant(bytes) === 1) {
    return isPlain ? plainBits(reader, width, height) : packedBits(reader, width, height);
  }
  const max = reader.number();
  if (max < 1 || max > 65535) throw new Error(`${kind} with levels up to ${max}`);
  const values = isPlain ? plainValues(reader, max) : binaryValues(reader, max);
  const levels = levelTable(max, channels);
  const image = blankImage(width, height);
  for (let at = 0; at < image.data.length; at += 3) {
    const first = levels(values());
    image.data[at] = first;
    image.data[at + 1] = channels === 3 ? levels(values()) : first;
    image.data[at + 2] = channels === 3 ? levels(values()) : first;
  }
  return image;
}

/** Returns 1 for bits, 2 for gray, 3 for colours. */
function variant(bytes: Uint8Array): number {
  return (((bytes[1] ?? 0) - 0x31) % 3) + 1;
}

/** Returns the function from a value, 0 to `max`, to a level of 255. */
function levelTable(max: number, channels: number): (value: number) => number {
  if (channels === 1 && max > 255)
    return (value) => Math.min(65535, roundHalfEven((value / max) * 65535)) >> 8;
  if (max === 255) return (value) => value;
  return (value) => Math.min(255, roundHalfEven((value / max) * 255));
}

function plainValues(reader: Tokens, max: number): () => number {
  return () => {
    const value = reader.number();
    if (value > max) throw new Error(`${reader.kind} with the level ${value} of ${max}`);
    return value;
  };
}

function binaryValues(reader: Tokens, max: number): () => number {
  return max < 256 ? () => reader.byte() : () => reader.byte() * 256 + reader.byte();
}

function plainBits(reader: Tokens, width: number, height: number): RgbImage {
  const image = blankImage(width, height);
  for (let at = 0; at < image.data.length; at += 3) {
    image.data.fill(reader.bit() === 1 ? 0 : 255, at, at + 3);
  }
  return image;
}

function packedBits(reader: Tokens, width: number, height: number): RgbImage {
  const image = blankImage(width, height);
  let at = 0;
  for (let y = 0; y < height; y++) {
    let byte = 0;
    for (let x = 0; x < width; x++) {
      if (x % 8 === 0) byte = reader.byte();
      image.data.fill(byte & (0x80 >> (x % 8)) ? 0 : 255, at, at + 3);
      at += 3;
    }
  }
  return image;
}

/** Reads numbers of text, and bytes, one after the other. */
class Tokens {
  #at = 2;

  constructor(
    private readonly bytes: Uint8Array,
    /** How errors call the file. */
    readonly kind: string,
  ) {}

  byte(): number {
    const byte = this.bytes[this.#at++];
    if (byte === undefined) throw truncated(this.kind);
    return byte;
  }

  /** Reads a decimal number and the white space after it. A comment ends with its line. */
  number(): number {
    let text = '';
    for (;;) {
      const byte = this.#next();
      const isSpace = byte === undefined || SPACES.includes(byte);
      if (isSpace && text !== '') break;
      if (byte === undefined) throw truncated(this.kind);
      if (!isSpace) text += String.fromCharCode(byte);
      if (text.length > MAX_TOKEN) break;
    }
    if (!/^\d{1,10}$/.test(text)) {
      throw new Error(`${this.kind} with ${JSON.stringify(text)} in place of a number`);
    }
    return Number(text);
  }

  /** Reads one digit of plain PBM, which need no space between them. */
  bit(): number {
    for (;;) {
      const byte = this.#next();
      if (byte === undefined) throw truncated(this.kind);
      if (SPACES.includes(byte)) continue;
      if (byte === 0x30 || byte === 0x31) return byte - 0x30;
      const text = JSON.stringify(String.fromCharCode(byte));
      throw new Error(`${this.kind} with ${text} in place of 0 or 1`);
    }
  }

  /** Returns the next byte that is not of a comment; undefined at the end. */
  #next(): number | undefined {
    let byte = this.bytes[this.#at++];
    while (byte === HASH) {
      while (byte !== undefined && byte !== NEWLINE && byte !== RETURN)
        byte = this.bytes[this.#at++];
      byte = this.bytes[this.#at++];
    }
    return byte;
  }
}
