/** Holds: inputs are used, refused or named. A file that is not decoded is refused by what it is, whatever its name. */

import sharp from 'sharp';
import { describe, expect, test } from '@jest/globals';
import { decodeImage } from '../../../src/platform/node/sharp-decoder.js';
import { imageFormat } from '../../../src/images/signatures.js';

const latin1 = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));
const box = (brand: string, more = ''): string =>
  `\0\0\0${String.fromCharCode(16 + more.length)}ftyp${brand}\0\0\0\0${more}`;

async function refusal(bytes: Uint8Array): Promise<string> {
  return decodeImage(bytes, 'photo.jpg').then(
    () => 'decoded',
    (error: unknown) => (error as Error).message,
  );
}

describe('the format by the first bytes', () => {
  test.each([
    ['\xff\xd8\xff\xdb', 'jpeg'],
    ['\xff\xd8\xff\xe1\0\x10Exif', 'jpeg'],
    ['II*\0', 'tiff'],
    ['MM\0*', 'tiff'],
    ['II+\0', 'tiff'],
    ['MM\0+', 'tiff'],
    ['GIF87a', 'gif'],
    ['RIFF\x10\0\0\0WEBPVP8 ', 'webp'],
    ['BM\0\0', 'bmp'],
    ['P4\n', 'pnm'],
    ['P6 1', 'pnm'],
    [box('avif'), 'avif'],
    // The general brand of HEIF comes first.
    [box('mif1', 'mif1avif'), 'avif'],
    [box('msf1', 'avismsf1'), 'avif'],
  ])('%j is %s', (head, format) => {
    expect(imageFormat(latin1(head))).toBe(format);
  });
});

describe('what is refused is named', () => {
  test.each([
    ['', 'an empty file'],
    ['\0'.repeat(64), 'a file of zeros'],
    ['not an image', 'a text file'],
    ['<!DOCTYPE html><html><body>404 Not Found', 'a web page (HTML), perhaps the error message of'],
    ['\n\n  <html lang="en">', 'a web page (HTML)'],
    ['{"error": "quota exceeded"}', 'a text file (JSON), perhaps the error message of a download'],
    ['<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', 'an XML file'],
    // sharp would draw it.
    ['<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', 'an SVG drawing'],
    ['<?xml version="1.0"?>\n<!-- x --><svg width="9" height="9"/>', 'an SVG drawing'],
    [box('heic', 'mif1heic'), 'a HEIC file'],
    [box('mif1', 'mif1heic'), 'a HEIC file'],
    [box('mp42', 'isommp42'), 'an MP4 video'],
    [box('qt  '), 'a QuickTime video'],
    [box('crx '), 'a raw camera file (CR3)'],
    ['\xff\x0a\0\0', 'a JPEG XL file'],
    ['\0\0\0\x0cJXL \r\n', 'a JPEG XL file'],
    ['\0\0\0\x0cjP  \r\n', 'a JPEG 2000 file'],
    ['\xff\x4f\xff\x51', 'a JPEG 2000 file'],
    ['\xff\xd8\xff\xf7', 'a JPEG-LS file'],
    ['%PDF-1.7', 'a PDF document'],
    ['8BPS\0\x01', 'a Photoshop file (PSD)'],
    ['\0\0\x01\0\x01\0', 'an icon (ICO)'],
    ['RIFF\0\0\0\0AVI LIST', 'an AVI video'],
    ['\x1a\x45\xdf\xa3', 'a Matroska or WebM video'],
    ['PK\x03\x04', 'a ZIP archive or an Office document'],
    [`${'\0'.repeat(128)}DICM`, 'a DICOM file'],
    ['\0\x05\x16\x07\0\x02\0\0Mac OS X', "a file of macOS's metadata (AppleDouble)"],
    ['version https://git-lfs.github.com/spec/v1\noid', 'a Git LFS pointer'],
    ['\x93NUMPY\x01', 'a NumPy array (.npy)'],
    ['P7\nWIDTH 1', 'a PAM file'],
    ['\x80\x81\x82\x83\x84\x85', 'a file that is not JPEG, PNG, WebP, TIFF, GIF, AVIF, BMP or PNM'],
    ['BM0000000000000000', 'a BMP file with an unknown header of 808464432 bytes'],
    ['P5\n1 1\n70000\n0', 'a PGM file with levels up to 70000'],
    ['P2 1 1 10 11', 'a PGM file with the level 11 of 10'],
    ['P6 x 1 255 000', 'a PPM file with "x" in place of a number'],
    ['P1 1 1 2', 'a PBM file with "2" in place of 0 or 1'],
    ['P5 0 5 255 ', 'an image of 0 x 5 pixels'],
    ['P6 99999 99999 255 ', 'more than '],
    ['GIF89a\x01\0\x01\0\0\0\0;', 'a GIF file without an image'],
    ['\xff\xd8\xff', 'a JPEG file that is damaged or cut off'],
    ['\xff\xd8\xff\xc3\0\x0b\x08\0\x01\0\x01\x01\x01\x11\0', 'a lossless JPEG file'],
    ['PF\n2 2\n-1.0\n\0\0', 'a PFM file'],
    ['Pf 2 2\n-1.0\n\0\0', 'a PFM file'],
    [`\0\0\x02\0\x01\0  \0\0${'\x09'.repeat(12)}`, 'a cursor (CUR)'],
    [`\0\0\x01\0\x01\0  \0\0${'\x09'.repeat(12)}`, 'an icon (ICO)'],
    [`\0\0\x02\0\0\0\0\0\0\0\0\0\x14\0\x14\0\x18\x20${'\x07'.repeat(60)}`, 'a TGA file'],
    [`\0\0\x0a\0\0\0\0\0\0\0\0\0\x14\0\x14\0\x20\x28${'\x07'.repeat(60)}`, 'a TGA file'],
    [`\x02\0\x03\0\0\0\0\0\0\0\0\0\x14\0\x14\0\x08\0Hi${'\x07'.repeat(60)}`, 'a TGA file'],
    [`\0\x01\x01\0\0\0\x01\x18\0\0\0\0\x14\0\x14\0\x08\0${'\x07'.repeat(60)}`, 'a TGA file'],
    [
      `\x28\0\0\0\x09\0\0\0\x09\0\0\0\x01\0\x18\0${'\0'.repeat(60)}`,
      'a bitmap without its file header (DIB)',
    ],
    [
      `\x7c\0\0\0\x09\0\0\0\xf7\xff\xff\xff\x01\0\x20\0${'\0'.repeat(60)}`,
      'a bitmap without its file header (DIB)',
    ],
    [
      `\x0c\0\0\0\x09\0\x09\0\x01\0\x08\0${'\0'.repeat(60)}`,
      'a bitmap without its file header (DIB)',
    ],
    ['\xff\xd8\xff\xc1\0\x0b\x0c\0\x01\0\x01\x01\x01\x11\0', 'a JPEG file of 12 bits per level'],
  ])('%j: %s', async (content, expected) => {
    const message = await refusal(latin1(content));
    expect(message).toContain(`expected a readable image, found ${expected}`);
    expect(message).toContain('photo.jpg; ');
    expect(message).not.toMatch(/vips|load_buffer|Input buffer/);
  });

  /** One gray pixel; each tag is a short. */
  const tiff = (tags: Readonly<Record<number, number>>): Uint8Array => {
    const entries = Object.entries({ 256: 1, 257: 1, 273: 8, 277: 1, 278: 1, 279: 1, ...tags });
    const bytes = Buffer.alloc(16 + 2 + entries.length * 12 + 4);
    bytes.write('II*\0', 'latin1');
    bytes.writeUInt32LE(16, 4);
    bytes.writeUInt16LE(entries.length, 16);
    for (const [i, [tag, value]] of entries.entries()) {
      const at = 18 + i * 12;
      bytes.writeUInt16LE(Number(tag), at);
      bytes.writeUInt16LE(3, at + 2);
      bytes.writeUInt32LE(1, at + 4);
      bytes.writeUInt16LE(value, at + 8);
    }
    return bytes;
  };

  test.each([
    ['Lab', { 258: 8, 262: 8 }, 'a TIFF file in Lab colours'],
    ['Lab of 16 bits', { 258: 16, 262: 8 }, 'a 16-bit TIFF file in Lab colours'],
    ['YCbCr', { 258: 8, 262: 6 }, 'a TIFF file in YCbCr colours without JPEG compression'],
    [
      'LZMA',
      { 258: 8, 259: 34925, 262: 1 },
      'a TIFF file with LZMA compression, which is not read (save it with LZW or Deflate)',
    ],
    [
      'ZSTD',
      { 258: 8, 259: 50000, 262: 2 },
      'a TIFF file with ZSTD compression, which is not read (save it with LZW or Deflate)',
    ],
    [
      'a codec of its own',
      { 258: 16, 259: 777, 262: 1 },
      'a 16-bit TIFF file with unknown (777) compression, which is not read (save it with LZW or Deflate)',
    ],
    [
      '12 bits',
      { 258: 12, 262: 1 },
      'a 12-bit TIFF file of a depth that is not read (save it with 8 or 16 bits)',
    ],
    [
      '4-bit RGB',
      { 258: 4, 262: 2, 277: 3 },
      'a 4-bit TIFF file of a depth that is not read (save it with 8 or 16 bits)',
    ],
    [
      '64 bits',
      { 258: 64, 262: 1 },
      'a 64-bit TIFF file of a depth that is not read (save it with 8 or 16 bits)',
    ],
    [
      '6 channels',
      { 258: 8, 262: 2, 277: 6 },
      'a TIFF file with 6 channels, of which at most 5 are read',
    ],
    [
      'tiled planes',
      { 258: 8, 262: 2, 277: 3, 284: 2, 322: 16, 323: 16 },
      'a TIFF file with tiles of separate planes',
    ],
    ['3 inks', { 258: 8, 262: 5, 277: 3 }, 'a TIFF file with 3 inks'],
    [
      'no tag 262',
      { 258: 8 },
      'a TIFF file that does not say how levels become colours (tag 262, PhotometricInterpretation)',
    ],
    ['a mask', { 258: 1, 262: 4 }, 'a 1-bit TIFF file that is a mask of transparency'],
    ['a camera', { 258: 16, 262: 32803 }, 'a 16-bit TIFF file with raw colours of a camera'],
    ['kind 99', { 258: 8, 262: 99 }, 'a TIFF file in colours of the unknown kind 99'],
    ['complex', { 258: 64, 262: 1, 339: 6 }, 'a 64-bit TIFF file of complex numbers'],
    [
      'signed RGB',
      { 258: 16, 262: 2, 277: 3, 339: 2 },
      'a 16-bit TIFF file of signed levels that is not gray from black to white',
    ],
    [
      'signed, white is zero',
      { 258: 16, 262: 0, 339: 2 },
      'a 16-bit TIFF file of signed levels that is not gray from black to white',
    ],
    [
      'RGB of 32 bits',
      { 258: 32, 262: 2, 277: 3 },
      'a 32-bit TIFF file of 32-bit levels that is not gray from black to white',
    ],
    ['a palette of 16 bits', { 258: 16, 262: 3 }, 'a 16-bit TIFF file with a palette of 16 bits'],
    ['float RGB', { 258: 32, 262: 2, 339: 3 }, 'a 32-bit float TIFF file that is not 32-bit gray'],
    ['float64', { 258: 64, 262: 1, 339: 3 }, 'a 64-bit float TIFF file that is not 32-bit gray'],
  ])('TIFF: %s', async (_, tags, expected) => {
    expect(await refusal(tiff(tags))).toContain(`found ${expected}: photo.jpg`);
  });

  test('the same little TIFF with plain tags is decoded', async () => {
    expect(await refusal(tiff({ 258: 8, 262: 1 }))).toBe('decoded');
  });

  test('a TIFF whose directory is cut off', async () => {
    expect(await refusal(tiff({ 258: 8, 262: 1 }).subarray(0, 20))).toContain(
      'a TIFF file that is damaged or cut off',
    );
  });

  test('a truncated file of sharp’s formats, without a word of libvips at the front', async () => {
    const png = await sharp({ create: { width: 9, height: 9, channels: 3, background: 'red' } })
      .png()
      .toBuffer();
    expect(await refusal(png.subarray(0, 60))).toContain('a PNG file that is damaged or cut off');
  });
});
