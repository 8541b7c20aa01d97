/** Reads the frame header of a JPEG file. */

/** Facts of the frame header. */
export interface JpegFrame {
  /** Bits per level: 8 for almost every file. */
  readonly bits: number;
  readonly width: number;
  readonly height: number;
  /** Number of colour components. */
  readonly components: number;
  /** Whether each scan refines the whole image. */
  readonly isProgressive: boolean;
  /** Whether the pixels are predicted, and not transformed. */
  readonly isLossless: boolean;
}

/** Returns null if the file has no frame header. */
export function jpegFrame(bytes: Uint8Array): JpegFrame | null {
  let at = 2;
  const short = (offset: number): number =>
    ((bytes[at + offset] ?? 0) << 8) | (bytes[at + offset + 1] ?? 0);
  while (at + 9 < bytes.length) {
    if (bytes[at] !== 0xff) return null;
    const marker = bytes[at + 1] ?? 0;
    if (marker === 0xff) {
      // A fill byte.
      at++;
      continue;
    }
    // SOF0 to SOF15; the three others between them are tables.
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) {
      return {
        bits: bytes[at + 4] ?? 0,
        height: short(5),
        width: short(7),
        components: bytes[at + 9] ?? 0,
        isProgressive: marker % 4 === 2,
        isLossless: marker % 4 === 3,
      };
    }
    at += 2 + short(2);
  }
  return null;
}
