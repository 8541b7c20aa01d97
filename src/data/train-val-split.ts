/** Training and validation images from one folder. */

import { createHash } from 'node:crypto';
import path from 'node:path';
import { ImageFolder } from './dataset.js';
import { DatasetError } from '../common/errors.js';

/**
 * Takes `fraction` of each class's images (rounded, at least one, never all) for validation.
 *
 * Which ones is a function of their names: the images whose names hash lowest. So it is the same on every
 * run, whatever its seed, and most images stay where they are when others are added.
 *
 * @throws DatasetError for a class with a single image.
 */
export function splitFolder(
  folder: ImageFolder,
  fraction: number,
): { readonly train: ImageFolder; readonly val: ImageFolder } {
  const chosen = new Set<string>();
  for (const [label, name] of folder.classes.entries()) {
    const images = folder.samples.filter((sample) => sample.label === label);
    if (images.length < 2) {
      throw new DatasetError(
        `expected at least 2 images of class ${name} in ${folder.dir}, found ${images.length}; one must be ` +
          'left for validation: add some, or make a val folder',
      );
    }
    const count = Math.min(images.length - 1, Math.max(1, Math.round(images.length * fraction)));
    images
      .map(({ image }) => ({ image, key: hashOf(path.relative(folder.dir, image)) }))
      .sort((a, b) => (a.key < b.key ? -1 : 1))
      .slice(0, count)
      .forEach(({ image }) => chosen.add(image));
  }
  const others = folder.samples.map(({ image }) => image).filter((image) => !chosen.has(image));
  return { train: folder.without(chosen), val: folder.without(new Set(others)) };
}

function hashOf(name: string): string {
  return createHash('sha256').update(name.split(path.sep).join('/')).digest('hex');
}
