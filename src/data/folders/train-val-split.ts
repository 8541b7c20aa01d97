/** Splits one folder of images for training and validation. */

import { createHash } from 'node:crypto';
import path from 'node:path';
import { ImageFolder } from './image-folder.js';
import { DatasetError } from '../../common/errors.js';

/**
 * Takes `fraction` of each class's images for validation: rounded, at least one, never all.
 *
 * Takes the images whose names have the lowest hashes. So the split is the same in every run, whatever its seed, and
 * most images keep their place when others are added.
 *
 * @throws DatasetError for a class with fewer than two images.
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
