/** Makes TIFF files of any kind of gray. */

/** Layout of a gray image. */
export interface GrayLayout {
  readonly width: number;
  readonly height: number;
  readonly bits: number;
  /** 1: unsigned integers, 3: floating point. */
  readonly sampleFormat: 1 | 3;
}

/** Encodes a little-endian TIFF of one gray strip; sharp writes no floating point. */
export function grayTiff(layout: GrayLayout, levels: ArrayBufferView): Buffer {
  const { width, height, bits, sampleFormat } = layout;
  const data = Buffer.from(levels.buffer, levels.byteOffset, levels.byteLength);
  const tags = [
    ...[256, width, 257, height, 258, bits, 259, 1, 262, 1, 273, 8],
    ...[277, 1, 278, height, 279, data.length, 339, sampleFormat],
  ];
  const directory = Buffer.alloc(2 + tags.length * 6 + 4);
  directory.writeUInt16LE(tags.length / 2, 0);
  for (let i = 0; i < tags.length; i += 2) {
    const at = 2 + i * 6;
    directory.writeUInt16LE(tags[i] ?? 0, at);
    directory.writeUInt16LE(4, at + 2);
    directory.writeUInt32LE(1, at + 4);
    directory.writeUInt32LE(tags[i + 1] ?? 0, at + 8);
  }
  const head = Buffer.from('II*\0\0\0\0\0', 'latin1');
  head.writeUInt32LE(8 + data.length, 4);
  return Buffer.concat([head, data, directory]);
}
