/** Reads the numbers in the first directory of a TIFF or BigTIFF file, or of the EXIF block of another format. */

/** Size in bytes of the types that hold whole numbers: byte, short, long, the signed ones of them, long8. */
const SIZES: Readonly<Record<number, number>> = { 1: 1, 3: 2, 4: 4, 6: 1, 8: 2, 9: 4, 16: 8 };
/** Values read per tag. No tag that is asked for has more that matter. */
const MAX_VALUES = 8;

/** Values by tag number, signed ones read as unsigned. Tags of other types than whole numbers are missing. */
export type TiffTags = ReadonlyMap<number, readonly number[]>;

/**
 * @param bytes the file from its byte-order mark on.
 * @returns the tags as far as they can be read; null if this is not a TIFF header.
 */
export function readTiffTags(bytes: Uint8Array): TiffTags | null {
  const order = String.fromCharCode(...bytes.subarray(0, 2));
  if (bytes.length < 8 || !['II', 'MM'].includes(order)) return null;
  const little = order === 'II';
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = view.getUint16(2, little);
  if (version !== 42 && version !== 43) return null;
  return readDirectory(view, little, version === 43);
}

function readDirectory(view: DataView, little: boolean, isBig: boolean): TiffTags {
  const tags = new Map<number, number[]>();
  const offset = (at: number): number =>
    isBig ? Number(view.getBigUint64(at, little)) : view.getUint32(at, little);
  const [countSize, entrySize, inlineSize] = isBig ? [8, 20, 8] : [2, 12, 4];
  try {
    const start = offset(isBig ? 8 : 4);
    const count = isBig ? offset(start) : view.getUint16(start, little);
    for (let i = 0; i < count; i++) {
      const at = start + countSize + i * entrySize;
      const type = view.getUint16(at + 2, little);
      const size = SIZES[type];
      if (size === undefined || tags.has(view.getUint16(at, little))) continue;
      const values = offset(at + 4);
      const place = at + entrySize - inlineSize;
      const from = values * size > inlineSize ? offset(place) : place;
      const read = Array.from({ length: Math.min(values, MAX_VALUES) }, (_, k) =>
        readNumber(view, little, from + k * size, size),
      );
      tags.set(view.getUint16(at, little), read);
    }
  } catch {
    // The file is cut off. Whoever decodes it says so.
  }
  return tags;
}

function readNumber(view: DataView, little: boolean, at: number, size: number): number {
  if (size === 1) return view.getUint8(at);
  if (size === 2) return view.getUint16(at, little);
  return size === 4 ? view.getUint32(at, little) : Number(view.getBigUint64(at, little));
}
