/** Reads the numbers in the first directory of a TIFF or BigTIFF file, or of the EXIF block of another format. */

/** Size in bytes of the types that hold whole numbers: byte, short, long, the signed ones of them, long8. */
const SIZES: Readonly<Record<number, number>> = { 1: 1, 3: 2, 4: 4, 6: 1, 8: 2, 9: 4, 16: 8 };
/** Values read per tag. No tag that is asked for has more that matter. */
const MAX_VALUES = 8;

/** Values by tag number, signed ones read as unsigned. Tags of other types than whole numbers are missing. */
export type TiffTags = ReadonlyMap<number, readonly number[]>;

/** Place of the values of one tag. */
interface TagPlace {
  readonly tag: number;
  /** Bytes per value. */
  readonly size: number;
  /** Number of values. */
  readonly count: number;
  /** Offset of the first one. */
  readonly from: number;
}

/** A file and its byte order. */
interface Opened {
  readonly view: DataView;
  readonly little: boolean;
  readonly isBig: boolean;
}

/**
 * @param bytes the file from its byte-order mark on.
 * @returns the tags as far as they can be read; null if this is not a TIFF header.
 */
export function readTiffTags(bytes: Uint8Array): TiffTags | null {
  const opened = openTiff(bytes);
  if (opened === null) return null;
  const { view, little } = opened;
  const tags = new Map<number, number[]>();
  try {
    for (const { tag, size, count, from } of tagPlaces(opened)) {
      if (tags.has(tag)) continue;
      const read = Array.from({ length: Math.min(count, MAX_VALUES) }, (_, k) =>
        readNumber(view, little, from + k * size, size),
      );
      tags.set(tag, read);
    }
  } catch {
    // The file is cut off. Whoever decodes it says so.
  }
  return tags;
}

/**
 * Returns a copy of a TIFF file in which tags of its first page have other values.
 *
 * @param changes the new value by tag; it takes the place of each of the tag's values. Missing tags stay missing.
 */
export function patchTiffTags(
  bytes: Uint8Array,
  changes: ReadonlyMap<number, number>,
): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(bytes);
  const opened = openTiff(copy);
  if (opened === null) return copy;
  const { view, little } = opened;
  try {
    for (const { tag, size, count, from } of tagPlaces(opened)) {
      const value = changes.get(tag);
      if (value === undefined) continue;
      for (let k = 0; k < Math.min(count, MAX_VALUES); k++) {
        writeNumber(view, little, { at: from + k * size, size, value });
      }
    }
  } catch {
    // The file is cut off, as above.
  }
  return copy;
}

function openTiff(bytes: Uint8Array): Opened | null {
  const order = String.fromCharCode(...bytes.subarray(0, 2));
  if (bytes.length < 8 || !['II', 'MM'].includes(order)) return null;
  const little = order === 'II';
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = view.getUint16(2, little);
  return version === 42 || version === 43 ? { view, little, isBig: version === 43 } : null;
}

/** Lists the tags of the first directory that hold whole numbers. Throws a RangeError where the file ends. */
function* tagPlaces({ view, little, isBig }: Opened): Generator<TagPlace> {
  const offset = (at: number): number =>
    isBig ? Number(view.getBigUint64(at, little)) : view.getUint32(at, little);
  const [countSize, entrySize, inlineSize] = isBig ? [8, 20, 8] : [2, 12, 4];
  const start = offset(isBig ? 8 : 4);
  const entries = isBig ? offset(start) : view.getUint16(start, little);
  for (let i = 0; i < entries; i++) {
    const at = start + countSize + i * entrySize;
    const size = SIZES[view.getUint16(at + 2, little)];
    if (size === undefined) continue;
    const count = offset(at + 4);
    const place = at + entrySize - inlineSize;
    const from = count * size > inlineSize ? offset(place) : place;
    yield { tag: view.getUint16(at, little), size, count, from };
  }
}

function readNumber(view: DataView, little: boolean, at: number, size: number): number {
  if (size === 1) return view.getUint8(at);
  if (size === 2) return view.getUint16(at, little);
  return size === 4 ? view.getUint32(at, little) : Number(view.getBigUint64(at, little));
}

function writeNumber(
  view: DataView,
  little: boolean,
  { at, size, value }: Readonly<Record<'at' | 'size' | 'value', number>>,
): void {
  if (size === 1) view.setUint8(at, value);
  else if (size === 2) view.setUint16(at, value, little);
  else if (size === 4) view.setUint32(at, value, little);
  else view.setBigUint64(at, BigInt(value), little);
}
