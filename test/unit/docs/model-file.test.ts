/** Holds: the Node example of docs/model-file.md decodes an image to training's pixels, whatever the image is. */

import { readFileSync, readdirSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import sharp from 'sharp';
import type { ExifUse, RgbImage } from '../../../src/platform/platform.js';
import { decodeImage } from '../../../src/platform/node/sharp-decoder.js';
import { decodeFixture } from '../../parity/pixel-fixtures.js';
import { FIXTURES, ROOT } from '../../support/paths.js';

type Decode = (file: string, exif: ExifUse) => Promise<RgbImage>;

const oriented = JSON.parse(
  readFileSync(path.join(FIXTURES, 'pixels', 'orientation.json'), 'utf8'),
) as Record<string, { file: string }>;
/** GIF files whose first frame is opaque and fills the canvas. */
const OPAQUE_GIFS = ['87a.gif', 'animated.gif', 'palette.gif'];

/** Returns whether the document says that the example covers a file. */
function isCovered(name: string, start: string): boolean {
  if (start.startsWith('GIF8')) return OPAQUE_GIFS.includes(name);
  return !/^(BM|P[1-6]\s)/.test(start);
}

const files = readdirSync(path.dirname(decodeFixture('rgb.png'))).filter((name) =>
  isCovered(name, readFileSync(decodeFixture(name), 'latin1').slice(0, 4)),
);
// sharp always turns AVIF.
const orientations = Object.keys(oriented).filter((name) => !/^avif-[2-8]$/.test(name));

let dir: string;
let decode: Decode;
beforeAll(async () => {
  // Inside the package, so that the example finds its imports.
  dir = await mkdtemp(path.join(ROOT, 'dist', 'example-'));
  const docs = readFileSync(path.join(ROOT, 'docs', 'model-file.md'), 'utf8');
  const [, example = ''] = /```js\n([^]*?)```/.exec(docs) ?? [];
  const [functions = '', program] = example.split(/^const \[file, path/m);
  expect(program).toContain('await decode(path, exif)');
  const module = path.join(dir, 'example.mjs');
  await writeFile(module, `${functions}\nexport { decode };\n`);
  ({ decode } = (await import(pathToFileURL(module).href)) as { decode: Decode });
  for (const name of orientations) {
    await writeFile(path.join(dir, name), oriented[name]?.file ?? '', 'base64');
  }
});
afterAll(async () => {
  await rm(dir, { recursive: true });
});

async function expectSame(file: string, exif: ExifUse): Promise<void> {
  const pixels = ({ data, width, height }: RgbImage): unknown => ({
    ...{ width, height },
    rgb: Buffer.from(data).toString('base64'),
  });
  expect(pixels(await decode(file, exif))).toEqual(pixels(await decodeImage(file, file, exif)));
}

test('there are images with what is hard', () => {
  const hard = ['exif-rotated.jpg', 'profile.jpg', 'cmyk.jpg', 'rgba.png', 'palette-alpha.png'];
  const deep = ['rgb-16bit.png', 'gray-16bit.png', 'palette.gif', 'animated.webp', 'cmyk.tif'];
  expect(files).toEqual(expect.arrayContaining([...hard, ...deep]));
});

describe.each(['ignore', 'apply'] as const)('%s', (exif) => {
  test.each(files)('%s', async (name) => {
    await expectSame(decodeFixture(name), exif);
  });

  test.each([
    ['colour', 'rgb-16bit.png', 'rgb16'],
    ['gray', 'gray-16bit.png', 'grey16'],
  ])('a TIFF file of 16 bits, %s', async (_, name, space) => {
    const file = path.join(dir, `${space}.tif`);
    await sharp(decodeFixture(name)).toColourspace(space).tiff({ compression: 'lzw' }).toFile(file);
    expect((await sharp(file).metadata()).depth).toBe('ushort');
    await expectSame(file, exif);
  });

  test.each(orientations)('%s', async (name) => {
    await expectSame(path.join(dir, name), exif);
  });

  test.each([
    ['CMYK on its side', 'cmyk.jpg', 6],
    ['a colour profile, mirrored', 'profile.jpg', 2],
    ['16 bits, transposed', 'rgba-16bit.png', 5],
    ['gray, turned', 'gray.jpg', 8],
  ])('%s', async (_, name, orientation) => {
    const source = sharp(decodeFixture(name)).keepIccProfile().withMetadata({ orientation });
    const cmyk =
      name === 'cmyk.jpg' ? source.pipelineColourspace('cmyk').toColourspace('cmyk') : source;
    const file = path.join(dir, `${orientation}-${name}`);
    await cmyk.toFile(file);
    expect((await sharp(file).metadata()).orientation).toBe(orientation);
    await expectSame(file, exif);
  });
});
