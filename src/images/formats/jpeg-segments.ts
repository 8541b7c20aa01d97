/** Walks through the segments of a JPEG file, for facts that browsers ignore or cannot be told to ignore. */

/** A segment of a JPEG file. */
interface Segment {
  readonly marker: number;
  /** Offset of its content, behind marker and length. */
  readonly content: number;
}

const [EOI, SOI, APP1, FIRST_RESTART] = [0xd9, 0xd8, 0xe1, 0xd0];

/** Returns whether a JPEG file reaches its end. Firefox fills up a file that is cut off with gray. */
export function hasJpegEnd(jpeg: Uint8Array): boolean {
  return segments(jpeg).some(({ marker }) => marker === EOI);
}

/**
 * Returns a copy of a JPEG file whose EXIF no decoder finds, so that its pixels come as they are stored: browsers turn
 * an image by EXIF, whatever they are asked for. EXIF is renamed in its place, so nothing else of the file changes.
 */
export function withoutExif(jpeg: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = Uint8Array.from(jpeg);
  for (const { marker, content } of segments(jpeg)) {
    const name = String.fromCharCode(...bytes.subarray(content, content + 5));
    if (marker === APP1 && name === 'Exif\0') bytes[content] = 'x'.charCodeAt(0);
  }
  return bytes;
}

/** Returns the segments up to the end of the image. Skips pixels and stray bytes, as libjpeg does. */
function segments(bytes: Uint8Array): Segment[] {
  const found: Segment[] = [];
  for (let at = 2; ;) {
    at = bytes.indexOf(0xff, at);
    const marker = at < 0 ? undefined : bytes[at + 1];
    if (marker === undefined) return found;
    const isByte = marker === 0 || (marker >= FIRST_RESTART && marker <= SOI);
    if (marker === 0xff) at++;
    else if (isByte) at += 2;
    else {
      found.push({ marker, content: at + 4 });
      if (marker === EOI) return found;
      at += 2 + (((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0));
    }
  }
}
