/** Checks the checksums of a PNG file, for decoders that do not: a changed bit would give other pixels. */

/** First byte of a PNG file's chunks. */
const FIRST = 8;
/** Bit of a chunk's name that says that the pixels do not need the chunk. */
const ANCILLARY = 0x20;

/** Remainders of CRC-32 by byte. */
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? (rest >>> 1) ^ 0xedb88320 : rest >>> 1;
  return rest;
});

/** Returns whether every chunk that the pixels need is there, whole and as its CRC-32 says. */
export function hasIntactPixels(png: Uint8Array): boolean {
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  for (let at = FIRST; at + 12 <= png.length;) {
    const end = at + 8 + view.getUint32(at);
    if (end + 4 > png.length) return false;
    const name = at + 4;
    const isNeeded = (view.getUint8(name) & ANCILLARY) === 0;
    if (isNeeded && crc32(png.subarray(name, end)) !== view.getUint32(end)) return false;
    if (String.fromCharCode(...png.subarray(name, name + 4)) === 'IEND') return true;
    at = end + 4;
  }
  return false;
}

function crc32(bytes: Uint8Array): number {
  let rest = 0xffffffff;
  for (const byte of bytes) rest = (rest >>> 8) ^ (TABLE[(rest ^ byte) & 255] ?? 0);
  return ~rest >>> 0;
}
