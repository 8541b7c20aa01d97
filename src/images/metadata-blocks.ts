/** Finds the metadata blocks of an image file, by the rules of Pillow: they say what a program sees as its orientation. */

/** Metadata of an image file; null where there is none. */
export interface MetadataBlocks {
  /** EXIF, from its byte-order mark on. A TIFF file is such a block itself. */
  readonly exif: Uint8Array | null;
  /** XMP, an XML text; in JPEG and PNG after the name of its kind. */
  readonly xmp: string | null;
}

const EXIF_PREFIX = 'Exif\0\0';
const XMP_PREFIX = 'http://ns.adobe.com/xap/1.0/\0';
const XMP_KEYWORD = 'XML:com.adobe.xmp\0';
/** Bits of the first byte of WebP's VP8X chunk. */
const [WEBP_EXIF, WEBP_XMP] = [8, 4];

/** @param bytes a whole JPEG, PNG, WebP, TIFF or BigTIFF file. Other files, and damaged ones, have no blocks. */
export function metadataBlocks(bytes: Uint8Array): MetadataBlocks {
  const head = text(bytes, 0, 12);
  if (head.startsWith('\xff\xd8')) return jpegBlocks(bytes);
  if (head.startsWith('\x89PNG')) return pngBlocks(bytes);
  if (head.startsWith('RIFF') && head.endsWith('WEBP')) return webpBlocks(bytes);
  return { exif: bytes, xmp: null };
}

/** Reads the segments before the pixels. EXIF that is split into several segments is put together. */
function jpegBlocks(bytes: Uint8Array): MetadataBlocks {
  const exif: Uint8Array[] = [];
  let xmp: string | null = null;
  let at = 2;
  while (at + 4 <= bytes.length && bytes[at] === 0xff) {
    const marker = bytes[at + 1];
    if (marker === 0xff) {
      // A fill byte.
      at++;
      continue;
    }
    if (marker === 0xda) break;
    const end = at + 2 + (((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0));
    const content = bytes.subarray(at + 4, end);
    if (marker === 0xe1 && startsWith(content, EXIF_PREFIX)) exif.push(content.subarray(6));
    if (marker === 0xe1 && startsWith(content, XMP_PREFIX)) {
      xmp = decoded(content);
    }
    at = end;
  }
  return { exif: exif.length === 0 ? null : withoutPrefix(concatenated(exif)), xmp };
}

function pngBlocks(bytes: Uint8Array): MetadataBlocks {
  let [exif, xmp]: [Uint8Array | null, string | null] = [null, null];
  const layout = { start: 8, nameAt: 4, lengthAt: 0, littleEndian: false, after: () => 4 };
  for (const { name, content } of chunks(bytes, layout)) {
    if (name === 'eXIf') exif = withoutPrefix(content);
    // The two zeros say that the text is not compressed.
    if (name === 'iTXt' && startsWith(content, `${XMP_KEYWORD}\0\0`)) {
      xmp = decoded(content);
    }
  }
  return { exif, xmp };
}

/** Reads the chunks that the file's head announces; libwebp does not look for others. */
function webpBlocks(bytes: Uint8Array): MetadataBlocks {
  let flags = 0;
  let [exif, xmp]: [Uint8Array | null, string | null] = [null, null];
  const layout = { start: 12, nameAt: 0, lengthAt: 4, littleEndian: true };
  for (const { name, content } of chunks(bytes, { ...layout, after: (length) => length % 2 })) {
    if (name === 'VP8X') flags = content[0] ?? 0;
    if (name === 'EXIF' && (flags & WEBP_EXIF) !== 0)
      exif ??= withoutPrefix(withoutPrefix(content));
    if (name === 'XMP ' && (flags & WEBP_XMP) !== 0) xmp ??= decoded(content);
  }
  return { exif, xmp };
}

/** Places of a chunk's name and length, and the number of bytes that follow its content. */
interface ChunkLayout {
  readonly start: number;
  readonly nameAt: number;
  readonly lengthAt: number;
  readonly littleEndian: boolean;
  readonly after: (length: number) => number;
}

function* chunks(
  bytes: Uint8Array,
  { start, nameAt, lengthAt, littleEndian, after }: ChunkLayout,
): Generator<{ readonly name: string; readonly content: Uint8Array }> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = start; at + 8 <= bytes.length;) {
    const length = view.getUint32(at + lengthAt, littleEndian);
    const end = at + 8 + length;
    yield { name: text(bytes, at + nameAt, 4), content: bytes.subarray(at + 8, end) };
    at = end + after(length);
  }
}

/** Drops the prefix of JPEG's block, which some programs write in other formats, too, or twice. */
function withoutPrefix(block: Uint8Array): Uint8Array {
  return startsWith(block, EXIF_PREFIX) ? block.subarray(EXIF_PREFIX.length) : block;
}

function concatenated(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function startsWith(bytes: Uint8Array, start: string): boolean {
  return text(bytes, 0, start.length) === start;
}

/** Returns one character per byte. */
function text(bytes: Uint8Array, start: number, length: number): string {
  return String.fromCharCode(...bytes.subarray(start, start + length));
}

/** Returns a text that may be long. */
function decoded(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
