/** Makes TIFF files of any kind of gray. */

/** Layout of a gray image. */
export interface GrayLayout {
  readonly width: number;
  readonly height: number;
  readonly bits: number;
  /** 1: unsigned integers, 2: signed ones, 3: floating point. */
  readonly sampleFormat: 1 | 2 | 3;
  /** Values of further tags, or of these in place of the usual ones; undefined leaves one out. */
  readonly tags?: Readonly<Record<number, number | undefined>>;
}

/** Encodes a little-endian TIFF of one gray strip; sharp writes no floating point. */
export function grayTiff(layout: GrayLayout, levels: ArrayBufferView): Buffer {
  const { width, height, bits, sampleFormat } = layout;
  const data = Buffer.from(levels.buffer, levels.byteOffset, levels.byteLength);
  const strip = { 273: 8, 278: height, 279: data.length };
  const usual = { 256: width, 257: height, 258: bits, 259: 1, 262: 1, ...strip, 277: 1 };
  const tags: Record<number, number | undefined> = { ...usual, 339: sampleFormat, ...layout.tags };
  const entries = Object.entries(tags).filter(([, value]) => value !== undefined);
  const directory = Buffer.alloc(2 + entries.length * 12 + 4);
  directory.writeUInt16LE(entries.length, 0);
  for (const [i, [tag, value = 0]] of entries.entries()) {
    const at = 2 + i * 12;
    directory.writeUInt16LE(Number(tag), at);
    directory.writeUInt16LE(4, at + 2);
    directory.writeUInt32LE(1, at + 4);
    directory.writeUInt32LE(value, at + 8);
  }
  const head = Buffer.from('II*\0\0\0\0\0', 'latin1');
  head.writeUInt32LE(8 + data.length, 4);
  return Buffer.concat([head, data, directory]);
}
