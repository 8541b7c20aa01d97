/** Holds: the orientation is found where Pillow's `exif_transpose` finds it, and nowhere else. The numbers are Pillow's. */

import { describe, expect, test } from '@jest/globals';
import sharp from 'sharp';
import { exifOrientation } from '../../../src/images/orientation.js';

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');
const PREFIX = latin1('Exif\0\0');
const XMP_PREFIX = latin1('http://ns.adobe.com/xap/1.0/\0');

/** An EXIF block, little endian, with one tag. */
function block(orientation: number, { type = 3, offset = 8, tag = 0x0112 } = {}): Buffer {
  const bytes = Buffer.alloc(offset + 18);
  bytes.write('II*\0', 'latin1');
  bytes.writeUInt32LE(offset, 4);
  bytes.writeUInt16LE(1, offset);
  bytes.writeUInt16LE(tag, offset + 2);
  bytes.writeUInt16LE(type, offset + 4);
  bytes.writeUInt32LE(1, offset + 6);
  bytes.writeUInt16LE(orientation, offset + 10);
  return bytes;
}

const xmp = (orientation: number): Buffer =>
  latin1(`<rdf:Description tiff:Orientation="${orientation}" dc:title="\xfc"/>`);
const element = latin1('<tiff:Orientation>8</tiff:Orientation>');

const blank = sharp({ create: { width: 5, height: 3, channels: 3, background: 'teal' } });

/** A JPEG file with these segments of APP1. */
async function jpeg(...segments: readonly Buffer[]): Promise<Buffer> {
  const file = await blank.jpeg().toBuffer();
  const heads = segments.flatMap((content) => {
    const head = Buffer.from([0xff, 0xe1, 0, 0]);
    head.writeUInt16BE(content.length + 2, 2);
    return [head, content];
  });
  return Buffer.concat([file.subarray(0, 2), ...heads, file.subarray(2)]);
}

/** A PNG file with these chunks before the pixels, or after them. No reader of ours looks at the checksum. */
async function png(
  added: readonly (readonly [string, Buffer])[],
  before: 'IDAT' | 'IEND' = 'IDAT',
): Promise<Buffer> {
  const file = await blank.png().toBuffer();
  const at = file.indexOf(before) - 4;
  const chunks = added.map(([name, content]) => {
    const head = Buffer.alloc(8);
    head.writeUInt32BE(content.length);
    head.write(name, 4, 'latin1');
    return Buffer.concat([head, content, Buffer.alloc(4)]);
  });
  return Buffer.concat([file.subarray(0, at), ...chunks, file.subarray(at)]);
}

/** A WebP file whose head announces the kinds of `flags`, with these chunks. */
async function webp(
  flags: number,
  ...added: readonly (readonly [string, Buffer])[]
): Promise<Buffer> {
  const file = await blank.webp({ lossless: true }).toBuffer();
  const chunk = (name: string, content: Buffer): Buffer => {
    const head = Buffer.alloc(8);
    head.write(name, 'latin1');
    head.writeUInt32LE(content.length, 4);
    return Buffer.concat([head, content, Buffer.alloc(content.length % 2)]);
  };
  const vp8x = chunk('VP8X', Buffer.from([flags, 0, 0, 0, 4, 0, 0, 2, 0, 0]));
  const chunks = added.map(([name, content]) => chunk(name, content));
  const body = Buffer.concat([latin1('WEBP'), vp8x, file.subarray(12), ...chunks]);
  const size = Buffer.alloc(4);
  size.writeUInt32LE(body.length);
  return Buffer.concat([latin1('RIFF'), size, body]);
}

const inPng = (text: Buffer): [string, Buffer] => [
  'iTXt',
  Buffer.concat([latin1('XML:com.adobe.xmp\0\0\0\0\0'), text]),
];
const app1 = (...parts: readonly Buffer[]): Buffer => Buffer.concat([PREFIX, ...parts]);
const xap = (text: Buffer): Buffer => Buffer.concat([XMP_PREFIX, text]);

describe('exifOrientation', () => {
  test.each<[string, () => Promise<Buffer>, number | null]>([
    ['JPEG: two blocks, of which the first counts', () => jpeg(app1(block(6)), app1(block(3))), 6],
    ['JPEG: an empty block before', () => jpeg(PREFIX, app1(block(6))), 6],
    [
      'JPEG: a block in two segments',
      () => jpeg(app1(block(6).subarray(0, 12)), app1(block(6).subarray(12))),
      6,
    ],
    ['JPEG: XMP before EXIF', () => jpeg(xap(xmp(3)), app1(block(6))), 6],
    ['JPEG: XMP alone', () => jpeg(xap(xmp(6))), 6],
    ['JPEG: XMP with an element', () => jpeg(xap(element)), 8],
    [
      'JPEG: XMP beside EXIF of other things',
      () => jpeg(app1(block(6, { tag: 256 })), xap(xmp(5))),
      5,
    ],
    ['JPEG: a wrong number in EXIF hides XMP', () => jpeg(app1(block(9)), xap(xmp(6))), null],
    ['JPEG: a wrong number in XMP', () => jpeg(xap(xmp(0))), null],
    ['JPEG: a long', () => jpeg(app1(block(6, { type: 4 }))), 6],
    ['JPEG: a signed short', () => jpeg(app1(block(6, { type: 8 }))), 6],
    ['JPEG: text', () => jpeg(app1(block(6, { type: 2 }))), null],
    ['JPEG: a directory further on', () => jpeg(app1(block(6, { offset: 20 }))), 6],
    [
      'PNG: two blocks, of which the last counts',
      () =>
        png([
          ['eXIf', block(6)],
          ['eXIf', block(3)],
        ]),
      3,
    ],
    ['PNG: the prefix of JPEG', () => png([['eXIf', app1(block(6))]]), 6],
    ['PNG: after the pixels', () => png([['eXIf', block(6)]], 'IEND'), 6],
    ['PNG: XMP alone', () => png([inPng(xmp(7))]), 7],
    [
      'PNG: another text',
      () => png([['iTXt', Buffer.concat([latin1('Comment\0\0\0\0\0'), xmp(7)])]]),
      null,
    ],
    ['WebP: the prefix of JPEG', () => webp(8, ['EXIF', app1(block(6))]), 6],
    [
      'WebP: two blocks, of which the first counts',
      () => webp(8, ['EXIF', block(6)], ['EXIF', block(3)]),
      6,
    ],
    ['WebP: not announced', () => webp(0, ['EXIF', block(6)]), null],
    [
      'WebP: after a chunk of odd length',
      () => webp(12, ['XMP ', latin1('abc')], ['EXIF', block(6)]),
      6,
    ],
    ['WebP: XMP alone', () => webp(4, ['XMP ', xmp(2)]), 2],
    ['WebP: XMP, not announced', () => webp(8, ['XMP ', xmp(2)]), null],
  ])('%s', async (_, file, expected) => {
    expect(exifOrientation(await file())).toBe(expected);
  });

  test('a file that is cut off anywhere, or damaged, throws nothing', async () => {
    const whole = [
      await jpeg(app1(block(6)), xap(xmp(6))),
      await png([['eXIf', block(6)], inPng(xmp(6))]),
      await webp(12, ['EXIF', block(6)], ['XMP ', xmp(6)]),
    ];
    for (const file of whole) {
      for (let at = 0; at < file.length; at++) {
        expect([6, null]).toContain(exifOrientation(file.subarray(0, at)));
        const damaged = Buffer.from(file);
        damaged[at] = (damaged[at] ?? 0) ^ 0xff;
        exifOrientation(damaged);
      }
    }
  });
});
