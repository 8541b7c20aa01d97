/**
 * Tells the format of an image file by its first bytes, as Pillow does. The decoder must not choose: sharp would also
 * take SVG, which is drawn and not decoded, and must not stand in for a photograph.
 */

/** Image formats that are decoded. */
export type ImageFormat = 'jpeg' | 'png' | 'gif' | 'tiff' | 'webp' | 'avif' | 'bmp' | 'pnm';

/** A text that files of one kind have at an offset, bytes as characters. */
type Signature<Kind extends string> = readonly [Kind, string, number?];

const FORMATS: readonly Signature<ImageFormat>[] = [
  ['jpeg', '\xff\xd8\xff'],
  ['png', '\x89PNG\r\n\x1a\n'],
  ['gif', 'GIF87a'],
  ['gif', 'GIF89a'],
  ['tiff', 'II*\0'],
  ['tiff', 'MM\0*'],
  // BigTIFF.
  ['tiff', 'II+\0'],
  ['tiff', 'MM\0+'],
  ['webp', 'WEBP', 8],
  ['bmp', 'BM'],
];

/** Brands of files made of ISO base media boxes. */
const BRANDS: readonly (readonly [RegExp, string])[] = [
  [/^(hei[cfxms]|hev[cmsx])$/, 'a HEIC file (as iPhones write)'],
  [/^crx $/, 'a raw camera file (CR3)'],
  [/^qt {2}$/, 'a QuickTime video'],
  [/^(isom|iso\d|mp4\d|avc1|M4[VAP].|MSNV|dash|3g[p2s].|f4v )$/, 'an MP4 video'],
];

const REFUSED: readonly Signature<string>[] = [
  ['a JPEG XL file', '\xff\x0a'],
  ['a JPEG XL file', '\0\0\0\x0cJXL '],
  ['a JPEG 2000 file', '\0\0\0\x0cjP  '],
  ['a JPEG 2000 file', '\xff\x4f\xff\x51'],
  ['a JPEG-LS file', '\xff\xd8\xff\xf7'],
  ['a JPEG XR file', 'II\xbc'],
  ['a Photoshop file (PSD)', '8BPS'],
  ['a PDF document', '%PDF'],
  ['a PostScript file', '%!PS'],
  ['an icon (ICO)', '\0\0\x01\0'],
  ['an icon (ICNS)', 'icns'],
  ['an OpenEXR file', '\x76\x2f\x31\x01'],
  ['a Radiance HDR file', '#?RADIANCE'],
  ['a Radiance HDR file', '#?RGBE'],
  ['a DDS texture', 'DDS '],
  ['a DICOM file', 'DICM', 128],
  ['a FITS file', 'SIMPLE  ='],
  ['a GIMP file (XCF)', 'gimp xcf'],
  ['a QOI file', 'qoif'],
  ['an SGI image', '\x01\xda'],
  ['a DjVu document', 'AT&TFORM'],
  ['a raw camera file (RAF)', 'FUJIFILMCCD-RAW'],
  ['a raw camera file (ORF)', 'IIRO'],
  ['a raw camera file (RW2)', 'IIU\0'],
  ['an AVI video', 'AVI ', 8],
  ['a WAV sound', 'WAVE', 8],
  ['a Matroska or WebM video', '\x1a\x45\xdf\xa3'],
  ['a Flash video', 'FLV\x01'],
  ['an MPEG video', '\0\0\x01\xba'],
  ['an MPEG video', '\0\0\x01\xb3'],
  ['a sound (Ogg)', 'OggS'],
  ['a sound (MP3)', 'ID3'],
  ['a ZIP archive or an Office document', 'PK\x03\x04'],
  ['a gzip archive', '\x1f\x8b'],
  ['an xz archive', '\xfd7zXZ'],
  ['a zstd archive', '\x28\xb5\x2f\xfd'],
  ['a bzip2 archive', 'BZh'],
  ['a RAR archive', 'Rar!'],
  ['a 7z archive', '7z\xbc\xaf'],
  ['a tar archive', 'ustar', 257],
  ['an HDF5 file', '\x89HDF'],
  ['a NumPy array (.npy)', '\x93NUMPY'],
  ['an SQLite database', 'SQLite format 3'],
  ['a program', '\x7fELF'],
  ['a program', 'MZ'],
  ["a file of macOS's metadata (AppleDouble)", '\0\x05\x16\x07'],
  ['a Git LFS pointer (git lfs pull brings the image)', 'version https://git-lfs'],
];

/** Formats that only the fields of their header tell, in hexadecimal. */
const HEADERS: readonly (readonly [string, RegExp])[] = [
  ['a PAM file', /^5037(?:0[9-d]|20)/],
  ['a PFM file', /^50[46]6(?:0[9-d]|20)/],
  // Fewer than 256 cursors, of which the first has a byte that is always 0. TGA has 0 for their number.
  ['a cursor (CUR)', /^00000200(?!00)..00.{6}00/],
  // Size of the header, width and height, one plane, bits per pixel.
  [
    'a bitmap without its file header (DIB)',
    /^(?:28|34|38|40|6c|7c)000000.{16}0100(?:01|04|08|10|18|20)00/,
  ],
  ['a bitmap without its file header (DIB)', /^0c000000.{8}0100(?:01|04|08|18)00/],
  // Kind of palette and of pixels, a palette's place, length and bits, origin, size, bits per pixel, direction.
  ['a TGA file', /^..00(?:02|03|0a|0b).{8}00.{16}(?:08|0f|10|18|20)[0-3]./],
  ['a TGA file', /^..01(?:01|09).{8}(?:0f|10|18|20).{16}(?:08|0f|10)[0-3]./],
];
/** Bytes that tell these formats. */
const HEADER = 18;

/** Bytes that {@link imageFormat} looks at. */
const HEAD = 512;

/**
 * Reads the format from the first bytes.
 *
 * @throws Error for every other file, saying what it is.
 */
export function imageFormat(bytes: Uint8Array): ImageFormat {
  const head = String.fromCharCode(...bytes.subarray(0, HEAD));
  // JPEG-LS begins as JPEG does.
  const refused = REFUSED.find((signature) => matches(head, signature));
  if (!refused) {
    const match = FORMATS.find((signature) => matches(head, signature));
    if (match) return match[0];
    if (/^P[1-6]\s/.test(head)) return 'pnm';
    if (isAvif(head)) return 'avif';
  }
  throw new Error(refused?.[0] ?? describe(head, bytes));
}

function matches(head: string, [, text, offset = 0]: Signature<string>): boolean {
  return head.startsWith(text, offset);
}

/** Returns the brands of a file of ISO base media boxes: the major one, then the compatible ones. */
function brands(head: string): string[] {
  if (!head.startsWith('ftyp', 4)) return [];
  const size = Math.min((head.charCodeAt(2) << 8) | head.charCodeAt(3), head.length);
  const names = [head.slice(8, 12)];
  for (let at = 16; at + 4 <= size; at += 4) names.push(head.slice(at, at + 4));
  return names;
}

/** Some programs name HEIF's general brand first, and AVIF only among the compatible ones. */
function isAvif(head: string): boolean {
  const [major = '', ...compatible] = brands(head);
  if (/^avi[fs]$/.test(major)) return true;
  return /^m[is]f1$/.test(major) && compatible.some((brand) => /^avi[fs]$/.test(brand));
}

/** Says what a file is that no signature tells. */
function describe(head: string, bytes: Uint8Array): string {
  if (bytes.byteLength === 0) return 'an empty file';
  const names = brands(head);
  const start = Array.from(bytes.subarray(0, HEADER));
  const hex = start.map((byte) => byte.toString(16).padStart(2, '0')).join('');
  for (const name of names) {
    const match = BRANDS.find(([brand]) => brand.test(name));
    if (match) return match[1];
  }
  if (names.length > 0) return `a file of the kind ${JSON.stringify(names[0])} (HEIF or a video)`;
  const header = HEADERS.find(([, pattern]) => pattern.test(hex));
  if (header) return header[0];
  if (bytes.subarray(0, HEAD).every((byte) => byte === 0)) return 'a file of zeros';
  return describeText(head) ?? 'a file that is not JPEG, PNG, WebP, TIFF, GIF, AVIF, BMP or PNM';
}

/** Says what kind of text a file holds; null if it does not look like text. */
function describeText(head: string): string | null {
  const text = head.replace(/^\xef\xbb\xbf/, '').trimStart();
  if (/<svg[\s>]/i.test(text)) return 'an SVG drawing';
  if (/^<(!doctype html|html|head|body)/i.test(text)) {
    return 'a web page (HTML), perhaps the error message of a download';
  }
  if (text.startsWith('<')) return 'an XML file';
  if (/^[[{]/.test(text)) return 'a text file (JSON), perhaps the error message of a download';
  return /^[\s\x20-\x7e]+$/.test(text) ? 'a text file' : null;
}
