/** Reads how an AVIF file's main image is to be turned: its properties `irot` and `imir` (ISO/IEC 23008-12). */

/** A box of the file: its kind, and the bytes in it. */
interface Box {
  readonly kind: string;
  readonly content: DataView;
}

/** Orientation in EXIF's numbers by quarter turns against the clock; without a mirror, and by the mirror's axis. */
const ORIENTATIONS: readonly (readonly [number, number, number])[] = [
  [1, 4, 2],
  [8, 5, 7],
  [3, 2, 4],
  [6, 7, 5],
];

/** Returns the orientation in EXIF's numbers, 1 to 8, as Pillow does; null if the file does not tell one. */
export function avifOrientation(bytes: Uint8Array): number | null {
  const file = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    const meta = find(boxes(file), 'meta');
    const inMeta = meta === undefined ? [] : boxes(part(meta, 4));
    const inProperties = boxes(find(inMeta, 'iprp'));
    const main = find(inMeta, 'pitm');
    const associations = find(inProperties, 'ipma');
    if (main === undefined || associations === undefined) return null;
    const id = main.getUint8(0) === 0 ? main.getUint16(4) : main.getUint32(4);
    const all = boxes(find(inProperties, 'ipco'));
    const own = propertyNumbers(associations, id).flatMap((number) => all[number - 1] ?? []);
    const [turn, mirror] = [find(own, 'irot'), find(own, 'imir')];
    if (turn === undefined && mirror === undefined) return null;
    const axis = mirror === undefined ? 0 : 1 + (mirror.getUint8(0) & 1);
    return ORIENTATIONS[(turn?.getUint8(0) ?? 0) & 3]?.[axis] ?? null;
  } catch {
    // The file is cut off. Whoever decodes it says so.
    return null;
  }
}

function find(all: readonly Box[], kind: string): DataView | undefined {
  return all.find((box) => box.kind === kind)?.content;
}

function part(
  { buffer, byteOffset, byteLength }: DataView,
  from: number,
  to = byteLength,
): DataView {
  return new DataView(buffer, byteOffset + from, to - from);
}

function boxes(content: DataView | undefined): Box[] {
  const found: Box[] = [];
  for (let at = 0; content !== undefined && at + 8 <= content.byteLength;) {
    const short = content.getUint32(at);
    const head = short === 1 ? 16 : 8;
    const size = short === 1 ? Number(content.getBigUint64(at + 8)) : short;
    const end = short === 0 ? content.byteLength : at + size;
    if (end < at + head || end > content.byteLength) break;
    const letters = [4, 5, 6, 7].map((k) => content.getUint8(at + k));
    found.push({ kind: String.fromCharCode(...letters), content: part(content, at + head, end) });
    at = end;
  }
  return found;
}

/** Returns the numbers, from 1, of an image's properties: an `ipma` box lists them for each image. */
function propertyNumbers(associations: DataView, image: number): number[] {
  const version = associations.getUint8(0);
  const isWide = (associations.getUint8(3) & 1) === 1;
  let at = 8;
  for (let left = associations.getUint32(4); left > 0; left--) {
    const id = version === 0 ? associations.getUint16(at) : associations.getUint32(at);
    at += version === 0 ? 2 : 4;
    const count = associations.getUint8(at++);
    const numbers: number[] = [];
    for (let k = 0; k < count; k++, at += isWide ? 2 : 1) {
      numbers.push(isWide ? associations.getUint16(at) & 0x7fff : associations.getUint8(at) & 0x7f);
    }
    if (id === image) return numbers;
  }
  return [];
}
