/** Hides EXIF from decoders that obey it: browsers turn an image by it, whatever they are asked for. */

/**
 * Returns a copy of a JPEG file whose EXIF no decoder finds, so that its pixels come as they are stored. EXIF is renamed
 * in its place, so nothing else of the file changes.
 */
export function withoutExif(jpeg: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = Uint8Array.from(jpeg);
  for (let at = 2; at + 4 <= bytes.length;) {
    const marker = bytes[at] === 0xff ? (bytes[at + 1] ?? 0) : 0;
    // The pixels follow.
    if (marker === 0xda) break;
    if (marker === 0 || marker === 0xff) {
      // A stray or a fill byte, which libjpeg skips, too.
      at++;
      continue;
    }
    if (marker === 0xe1 && isExif(bytes, at + 4)) bytes[at + 4] = 'x'.charCodeAt(0);
    at += 2 + (((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0));
  }
  return bytes;
}

function isExif(bytes: Uint8Array, at: number): boolean {
  return String.fromCharCode(...bytes.subarray(at, at + 5)) === 'Exif\0';
}
