/** Decodes the runs of BMP's RLE8 and RLE4. */

interface Size {
  readonly width: number;
  readonly height: number;
  /** Whether a byte holds two pixels. */
  readonly isRle4: boolean;
}

/**
 * Decodes runs to indices, rows in the order of the file.
 *
 * @param from offset of the first run.
 * @returns [height, width]; null if the runs end too early. Like Pillow, it does not take a bitmap whose
 *   last rows are left out.
 */
export function decodeRuns(
  bytes: Uint8Array,
  from: number,
  { width, height, isRle4 }: Size,
): Uint8Array | null {
  const total = width * height;
  const data = new Uint8Array(total);
  let at = from;
  let to = 0;
  let x = 0;
  while (to < total) {
    if (at + 2 > bytes.length) return null;
    const count = bytes[at] ?? 0;
    const value = bytes[at + 1] ?? 0;
    at += 2;
    if (count > 0) {
      // A run that is too long for its row is cut.
      const length = Math.min(x + count, Math.max(width, x)) - x;
      for (let i = 0; i < length && to < total; i++) data[to++] = isRle4 ? nibble(value, i) : value;
      x += length;
    } else if (value === 0) {
      to = Math.ceil(to / width) * width;
      x = 0;
    } else if (value === 1) {
      return null;
    } else if (value === 2) {
      if (at + 2 > bytes.length) return null;
      to += (bytes[at] ?? 0) + (bytes[at + 1] ?? 0) * width;
      at += 2;
      x = to % width;
    } else {
      const length = Math.min(total - to, value);
      const size = isRle4 ? Math.ceil(length / 2) : length;
      if (at + size > bytes.length) return null;
      for (let i = 0; i < length; i++) {
        data[to++] = isRle4 ? nibble(bytes[at + (i >> 1)] ?? 0, i) : (bytes[at + i] ?? 0);
      }
      at += size;
      x += value;
      at += at % 2;
    }
  }
  return data;
}

/** Returns the high half of a byte for an even index, the low half for an odd one. */
function nibble(byte: number, index: number): number {
  return index % 2 === 0 ? byte >> 4 : byte & 15;
}
