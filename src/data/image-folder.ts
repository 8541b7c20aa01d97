/** A data set of class folders, and which files count as images. */

import type { Dirent } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { DatasetError } from '../common/errors.js';
import { listSome } from '../common/format.js';
import type { Dataset, Sample } from './dataset.js';

/** A sample that is an image file. */
export interface FileSample extends Sample {
  readonly image: string;
}

/** File name extensions of images, those of torchvision's ImageFolder. Upper and lower case are the same. */
export const IMAGE_EXTENSIONS = [
  '.jpg',
  '.jpeg',
  '.png',
  '.ppm',
  '.bmp',
  '.pgm',
  '.tif',
  '.tiff',
  '.webp',
] as const;

/**
 * Images in class folders, as in torchvision's ImageFolder: every folder in `dir` is a class, every image below it a
 * sample. Classes and samples are in torchvision's order, by code point.
 *
 * Three things differ from torchvision. Hidden folders in `dir` (`.ipynb_checkpoints`) are not classes. A folder that
 * links to itself is an error, because the walk would not end. So is a link in `dir` that leads nowhere, because a
 * class would be missing without a message.
 *
 * @example
 * const train = await ImageFolder.open('images/train');
 * const val = await ImageFolder.open('images/val', { classes: train.classes });
 * console.log(train.classes, train.length, train.get(0).image);
 */
export class ImageFolder implements Dataset {
  private constructor(
    readonly dir: string,
    readonly classes: readonly string[],
    readonly samples: readonly FileSample[],
    /** Warnings: hidden folders, classes without images, files that are not images. */
    readonly remarks: readonly string[],
  ) {}

  get length(): number {
    return this.samples.length;
  }

  /** @throws RangeError for an index outside 0 to `length - 1`. */
  get(index: number): FileSample {
    const sample = this.samples[index];
    if (!sample) throw new RangeError(`expected an index below ${this.length}, got ${index}`);
    return sample;
  }

  /** Returns a copy without the samples of these paths. */
  without(paths: ReadonlySet<string>): ImageFolder {
    const kept = this.samples.filter(({ image }) => !paths.has(image));
    return new ImageFolder(this.dir, this.classes, kept, this.remarks);
  }

  /**
   * Lists the images of a folder. No image is read.
   *
   * @param dir folder that holds the class folders.
   * @param options.classes class names to use, for example those of the training set for validation. A folder of
   *   another name is an error; a class without a folder has no samples. Default: the folders' names, of which there
   *   must be two or more, each with an image.
   * @throws DatasetError if the folder does not have this layout.
   */
  static async open(
    dir: string,
    options: { readonly classes?: readonly string[] } = {},
  ): Promise<ImageFolder> {
    const { folders, hidden } = await classFolders(dir);
    const classes = options.classes ?? folders;
    if (options.classes) checkKnown(dir, folders, options.classes);
    else checkClasses(dir, folders);
    const samples: FileSample[] = [];
    const empty: string[] = [];
    const others: string[] = [];
    for (const [label, name] of classes.entries()) {
      const { files, rest } = folders.includes(name)
        ? await imagesBelow(path.join(dir, name))
        : { files: [], rest: [] };
      others.push(...rest);
      if (files.length === 0) empty.push(name);
      for (const image of files) samples.push({ image, label });
    }
    if (empty.length > 0 && !options.classes) {
      throw new DatasetError(
        `expected images (${IMAGE_EXTENSIONS.join(' ')}) in every class folder of ${dir}, found ` +
          `none in ${list(empty)}; add images or remove the folder`,
      );
    }
    if (samples.length === 0) {
      throw new DatasetError(
        `expected images (${IMAGE_EXTENSIONS.join(' ')}) in class folders of ${dir}, found none; ` +
          `put them in ${path.join(dir, classes[0] ?? 'CLASS')} and its siblings`,
      );
    }
    const remark = (names: readonly string[], text: string): string[] =>
      names.length === 0 ? [] : [`${dir}: ${text} ${list(names)}`];
    return new ImageFolder(dir, classes, samples, [
      ...remark(hidden, 'hidden folders are not classes:'),
      ...remark(empty, 'there is no image of'),
      ...remark(others, `${others.length} files that are not images by their names are left out:`),
    ]);
  }
}

/** Returns a name for each sample that does not depend on where the folder lies: `CLASS/IMAGE.jpg` or `sample 3`. */
export function sampleNames(dataset: Dataset): string[] {
  if (dataset instanceof ImageFolder) {
    return dataset.samples.map(({ image }) =>
      path.relative(dataset.dir, image).replaceAll(path.sep, '/'),
    );
  }
  return Array.from({ length: dataset.length }, (_, index) => `sample ${index}`);
}

/** Compares strings by code point, as Python's `sorted` does. JavaScript's own order is by UTF-16 unit. */
export function compareCodePoints(a: string, b: string): number {
  for (let i = 0; i < a.length && i < b.length;) {
    const left = a.codePointAt(i) ?? 0;
    const right = b.codePointAt(i) ?? 0;
    if (left !== right) return left - right;
    i += left > 0xffff ? 2 : 1;
  }
  return a.length - b.length;
}

async function classFolders(dir: string): Promise<{ folders: string[]; hidden: string[] }> {
  const entries = await readdir(dir).catch((cause: unknown) => {
    throw new DatasetError(
      `expected a folder with one folder per class at ${dir}, found ${reason(cause)}; ` +
        `the layout is ${path.join(dir, 'CLASS', 'IMAGE.jpg')}`,
      { cause },
    );
  });
  const folders: string[] = [];
  const hidden: string[] = [];
  for (const name of entries.sort(compareCodePoints)) {
    if (name.startsWith('.')) {
      const found = await stat(path.join(dir, name)).catch(() => null);
      if (found?.isDirectory()) hidden.push(name);
      continue;
    }
    const found = await reached(path.join(dir, name), stat);
    if (found.isDirectory()) folders.push(name);
  }
  return { folders, hidden };
}

/** Calls `look` on a path below the data folder. @throws DatasetError if the path cannot be read. */
async function reached<T>(at: string, look: (at: string) => Promise<T>): Promise<T> {
  return look(at).catch((cause: unknown) => {
    throw new DatasetError(
      `expected to look into ${at}, found ${reason(cause)}; repair the link or the permissions, or remove it`,
      { cause },
    );
  });
}

function checkClasses(dir: string, folders: readonly string[]): void {
  if (folders.length >= 2) return;
  const found = folders.length === 0 ? 'none' : `only ${list(folders)}`;
  throw new DatasetError(
    `expected two or more class folders in ${dir}, found ${found}; ` +
      `the layout is ${path.join(dir, 'CLASS', 'IMAGE.jpg')}`,
  );
}

function checkKnown(dir: string, folders: readonly string[], classes: readonly string[]): void {
  const unknown = folders.filter((name) => !classes.includes(name));
  if (unknown.length === 0) return;
  throw new DatasetError(
    `expected class folders of the training set (${list(classes)}) in ${dir}, found ` +
      `${list(unknown)}; rename or remove it, or add the class to the training set`,
  );
}

/**
 * Returns the images below a folder, by folder path and then by name, as torchvision sorts `os.walk`; and the other
 * files except hidden ones. Links are followed.
 *
 * @throws DatasetError if a folder cannot be read or links to one that holds it.
 */
export async function imagesBelow(top: string): Promise<{ files: string[]; rest: string[] }> {
  const rest: string[] = [];
  const folders = new Map<string, string[]>();
  const walk = async (dir: string, above: readonly string[]): Promise<void> => {
    const identity = await reached(dir, (at) => stat(at, { bigint: true }));
    const key = `${identity.dev.toString()}:${identity.ino.toString()}`;
    if (above.includes(key)) {
      throw new DatasetError(
        `expected folders without a cycle, found ${dir}, a link to a folder that holds it; ` +
          `remove the link`,
      );
    }
    const files: string[] = [];
    for (const entry of await reached(dir, (at) => readdir(at, { withFileTypes: true }))) {
      const file = path.join(dir, entry.name);
      if (await leadsToFolder(entry, file)) await walk(file, [...above, key]);
      else if (isImageFile(entry.name)) files.push(entry.name);
      else if (!entry.name.startsWith('.')) rest.push(path.relative(path.dirname(top), file));
    }
    folders.set(dir, files.sort(compareCodePoints));
  };
  await walk(top, []);
  const files = [...folders.keys()]
    .sort(compareCodePoints)
    .flatMap((dir) => (folders.get(dir) ?? []).map((name) => path.join(dir, name)));
  return { files, rest };
}

/** Returns whether an entry is a folder or a link to one. A broken link counts as a file, which fails when it is read. */
async function leadsToFolder(entry: Dirent, file: string): Promise<boolean> {
  if (entry.isDirectory()) return true;
  // An entry that is neither is a link, or lies on a file system that does not tell the type.
  return !entry.isFile() && ((await stat(file).catch(() => null))?.isDirectory() ?? false);
}

/** Returns whether a file name has the extension of an image. */
function isImageFile(name: string): boolean {
  const lower = name.toLowerCase();
  return IMAGE_EXTENSIONS.some((extension) => lower.endsWith(extension));
}

function reason(cause: unknown): string {
  const code = (cause as NodeJS.ErrnoException).code;
  if (code === 'ENOENT') return 'nothing';
  if (code === 'ENOTDIR') return 'a file';
  if (code === 'ELOOP') return 'a link that leads back to itself';
  if (code === 'EACCES') return 'that it may not be read';
  return String(code ?? cause);
}

/** Returns up to five names, quoted, and how many follow. */
function list(names: readonly string[]): string {
  return listSome(names.map((name) => `"${name}"`));
}
