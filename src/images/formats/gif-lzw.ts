/** Decodes GIF's variant of LZW. */

const TABLE_SIZE = 4096;
const MAX_BITS = 12;

/** Memory that the indices go to. */
export interface LzwTarget {
  /** Receives the palette indices. */
  readonly canvas: Uint8Array;
  /** Offset of each row's first pixel in the canvas, in the order of the file. */
  readonly rows: readonly number[];
  /** Pixels per row. */
  readonly width: number;
}

/**
 * Decodes until every row is full. The rest of the file is not read.
 *
 * @param bytes the blocks of the image's data, each behind its length.
 * @param bits size of an index in bits, 0 to 12.
 * @returns null if all went well.
 */
export function decodeLzw(
  bytes: Uint8Array,
  bits: number,
  target: LzwTarget,
): 'cut off' | 'damaged' | null {
  const { canvas, rows, width } = target;
  const codes = new Codes(bytes);
  const clear = 2 ** bits;
  const suffix = new Uint8Array(TABLE_SIZE);
  const prefix = new Uint16Array(TABLE_SIZE);
  // A string comes out of the table from its end, so it is stacked before it is written.
  const stack = new Uint8Array(TABLE_SIZE + 1);
  const total = rows.length * width;
  let [size, next, written] = [bits + 1, clear + 2, 0];
  let [last, first] = [-1, 0];
  while (written < total) {
    const code = codes.next(size);
    if (code < 0 || code === clear + 1) return 'cut off';
    if (code === clear) {
      [size, next, last] = [bits + 1, clear + 2, -1];
      continue;
    }
    if (code > (last < 0 ? clear : next)) return 'damaged';
    let depth = 0;
    let link = code;
    if (last >= 0 && code === next) {
      // The string that this code is about to be given: the last one and its own first index.
      stack[depth++] = first;
      link = last;
    }
    while (link >= clear) {
      if (depth >= TABLE_SIZE) return 'damaged';
      stack[depth++] = suffix[link] ?? 0;
      link = prefix[link] ?? 0;
    }
    first = link;
    stack[depth++] = link;
    if (last >= 0 && next < TABLE_SIZE) {
      suffix[next] = link;
      prefix[next] = last;
      if (next === 2 ** size - 1 && size < MAX_BITS) size++;
      next++;
    }
    last = code;
    while (depth > 0 && written < total) {
      const row = rows[Math.floor(written / width)] ?? 0;
      canvas[row + (written % width)] = stack[--depth] ?? 0;
      written++;
    }
  }
  return null;
}

/** Reads codes of any number of bits from a sequence of blocks. */
class Codes {
  #at = 0;
  /** Bytes left in the block. */
  #left = 0;
  #bits = 0;
  #count = 0;

  constructor(private readonly bytes: Uint8Array) {}

  /** Returns the next code; -1 at the end. */
  next(size: number): number {
    while (this.#count < size) {
      if (this.#left === 0) {
        this.#left = this.bytes[this.#at++] ?? 0;
        if (this.#left === 0 || this.#at + this.#left > this.bytes.length) return -1;
      }
      this.#bits |= (this.bytes[this.#at++] ?? 0) << this.#count;
      this.#count += 8;
      this.#left--;
    }
    const code = this.#bits & (2 ** size - 1);
    this.#bits >>>= size;
    this.#count -= size;
    return code;
  }
}
