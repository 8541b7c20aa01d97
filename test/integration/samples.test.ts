import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from '@jest/globals';
import sharp from 'sharp';
import { ROOT } from '../support/paths.js';

const samples = path.join(ROOT, 'samples');
const textures = path.join(samples, 'textures');

interface Crop {
  readonly photograph: string;
  readonly left: number;
  readonly top: number;
  readonly side: number;
}

const listing = JSON.parse(readFileSync(path.join(samples, 'crops.json'), 'utf8')) as {
  validationFromColumn: number;
  crops: Record<string, Crop>;
};
const crops = Object.entries(listing.crops);

describe('samples/textures', () => {
  test('has two classes with the same names and enough images in both folders', () => {
    const count = (split: string): [string, number][] =>
      readdirSync(path.join(textures, split))
        .sort()
        .map((name) => [name, readdirSync(path.join(textures, split, name)).length]);
    expect(count('train')).toEqual([
      ['brick', 48],
      ['gravel', 48],
    ]);
    expect(count('val')).toEqual([
      ['brick', 20],
      ['gravel', 20],
    ]);
  });

  test('holds the listed files and no others, under 4 MB in all', () => {
    const files = readdirSync(textures, { recursive: true, encoding: 'utf8' })
      .map((file) => file.replaceAll(path.sep, '/'))
      .filter((file) => file.endsWith('.jpg'));
    expect(files.sort()).toEqual(Object.keys(listing.crops).sort());
    const bytes = files.reduce(
      (sum, file) => sum + readFileSync(path.join(textures, file)).length,
      0,
    );
    expect(bytes).toBeLessThan(4e6);
  });

  test('every file is a JPEG of the listed size', async () => {
    for (const [file, { side }] of crops) {
      const { format, width, height } = await sharp(path.join(textures, file)).metadata();
      expect({ file, format, width, height }).toEqual({
        file,
        format: 'jpeg',
        width: side,
        height: side,
      });
    }
  });

  test('no pixel of a photograph is in both training and validation', () => {
    for (const [file, { left, side }] of crops) {
      if (file.startsWith('train/')) {
        expect(left + side).toBeLessThanOrEqual(listing.validationFromColumn);
      } else {
        expect(left).toBeGreaterThanOrEqual(listing.validationFromColumn);
      }
    }
  });

  test('no two images are the same', () => {
    const contents = crops.map(([file]) => readFileSync(path.join(textures, file), 'base64'));
    expect(new Set(contents).size).toBe(crops.length);
  });
});
