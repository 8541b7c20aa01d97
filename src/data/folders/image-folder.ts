/** A data set of class folders, and which files count as images. */

import { stat } from 'node:fs/promises';
import path from 'node:path';
import { DatasetError } from '../../common/errors.js';
import { listSome } from '../../common/format.js';
import type { Dataset, Sample } from '../dataset.js';
import { classContent } from './class-content.js';
import { compareCodePoints, IMAGE_EXTENSIONS_TEXT } from './file-names.js';
import { FolderReader } from './folder-reader.js';
import { groupRemarks, type LeftOut } from '../remarks.js';
import { imagesBelow, listFolder, reached, systemReason, type Listing } from './walk-images.js';
import { RULES, type WalkRules } from './walk-rules.js';

/** A sample that is an image file. */
export interface FileSample extends Sample {
  readonly image: string;
}

/** Options of {@link ImageFolder.open}. */
export interface ImageFolderOptions {
  /**
   * Class names to use, for example those of the training set for validation. A folder of another name is an error; a
   * class without a folder has no samples. Default: the folders' names, of which there must be two or more, each with
   * an image.
   */
  readonly classes?: readonly string[];
  /** Names of folders that are not classes. */
  readonly except?: readonly string[];
}

/** Findings in a folder beside the samples. */
interface Found {
  readonly leftOut: readonly LeftOut[];
  /** Paths of the samples that are known to be images by their first bytes only. */
  readonly byContent: readonly string[];
}

/**
 * Images in class folders, as in torchvision's ImageFolder: every folder in `dir` is a class, every image below it a
 * sample. Classes and samples are in torchvision's order, by code point.
 *
 * Some things differ from torchvision (docs/data.md has the rules). More kinds of images are taken. Hidden files and
 * folders, and leftovers of systems and programs, are left out at every depth. Names that differ only in their Unicode
 * form (composed and decomposed accents) are the same class. A folder that links to itself is an error, because the
 * walk would not end. So is a link in `dir` that leads nowhere, because a class would be missing without a message.
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
    private readonly found: Found,
  ) {}

  get length(): number {
    return this.samples.length;
  }

  /** Everything below the folder that is left out or used in an unexpected way, and why. */
  get leftOut(): readonly LeftOut[] {
    return this.found.leftOut;
  }

  /** Paths of the samples that are known to be images by their first bytes, and not by their names. */
  get byContent(): readonly string[] {
    return this.found.byContent;
  }

  /** Warnings: one sentence for each kind of thing that is left out or used in an unexpected way. */
  get remarks(): readonly string[] {
    return groupRemarks(this.dir, this.found.leftOut).map(({ message }) => message);
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
    return new ImageFolder(this.dir, this.classes, kept, this.found);
  }

  /**
   * Lists the images of a folder. Reads the first bytes of files without a known extension, and nothing of images.
   *
   * @param dir folder that holds the class folders.
   * @throws DatasetError if the folder does not have this layout.
   */
  static open(dir: string, options: ImageFolderOptions = {}): Promise<ImageFolder> {
    return ImageFolder.openBy(RULES, dir, options);
  }

  /**
   * Lists the images of a folder by given rules; see {@link open}.
   *
   * @param reader what was read before; it forgets the folders.
   * @internal
   */
  static async openBy(
    rules: WalkRules,
    dir: string,
    options: ImageFolderOptions = {},
    reader = new FolderReader(),
  ): Promise<ImageFolder> {
    const listing = await listClassFolders(dir, rules, reader);
    const except = options.except ?? [];
    const folders = listing.folders.filter((name) => !except.includes(name));
    const classKey = classKeyOf(rules, options.classes);
    const classes = options.classes ?? classNames(folders, classKey);
    if (options.classes) await checkKnown(dir, folders, { classes, classKey }, reader);
    else await checkClasses(dir, classes, reader);
    const byKey = new Map<string, string[]>();
    for (const folder of folders) {
      byKey.set(classKey(folder), [...(byKey.get(classKey(folder)) ?? []), folder]);
    }
    const samples: FileSample[] = [];
    const byContent: string[] = [];
    const leftOut = [...listing.leftOut];
    const empty: string[] = [];
    for (const [label, name] of classes.entries()) {
      const own = byKey.get(classKey(name)) ?? [];
      const before = samples.length;
      for (const [i, folder] of own.entries()) {
        const at = path.join(dir, folder);
        if (i > 0) leftOut.push({ path: at + path.sep, reason: 'same-class' });
        const below = await imagesBelow(at, rules, reader);
        leftOut.push(...below.leftOut);
        byContent.push(...below.byContent);
        for (const image of below.files) samples.push({ image, label });
      }
      if (samples.length === before) empty.push(name);
    }
    checkImages(dir, { classes, empty, leftOut, isGiven: options.classes !== undefined });
    for (const name of empty) leftOut.push({ path: path.join(dir, name), reason: 'empty-class' });
    for (const file of byContent) leftOut.push({ path: file, reason: 'content' });
    return new ImageFolder(dir, classes, samples, { leftOut, byContent });
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

/** Lists the folders of a data folder that may be classes. */
async function listClassFolders(
  dir: string,
  rules: WalkRules,
  reader: FolderReader,
): Promise<Pick<Listing, 'folders' | 'leftOut'>> {
  const listing = await listFolder(dir, reader, rules).catch((cause: unknown) => {
    if (cause instanceof DatasetError) throw cause;
    throw new DatasetError(
      `expected a folder with one folder per class at ${dir}, found ${systemReason(cause)}; ` +
        `the layout is ${path.join(dir, 'CLASS', 'IMAGE.jpg')}`,
      { cause },
    );
  });
  // Throws for the first one: a class may be behind it.
  for (const name of listing.deadLinks) await reached(path.join(dir, name), stat);
  const beside = listing.images.map((name) => path.join(dir, name));
  return {
    folders: listing.folders,
    leftOut: [
      ...listing.leftOut,
      ...beside.map((file): LeftOut => ({ path: file, reason: 'no-class' })),
    ],
  };
}

/**
 * Returns the form by which class names are compared. Versions up to 0.2.0 could train on two classes whose names differ
 * only in their Unicode form; the folders of such classes are told apart.
 */
function classKeyOf(rules: WalkRules, classes: readonly string[] = []): WalkRules['classKey'] {
  const isOne = new Set(classes.map(rules.classKey)).size < classes.length;
  return isOne ? (name) => name : rules.classKey;
}

/** Returns the class names of folders; of several that differ only in their Unicode form, the composed one. */
function classNames(folders: readonly string[], classKey: WalkRules['classKey']): string[] {
  const names = new Map<string, string>();
  for (const name of folders) {
    const key = classKey(name);
    if (!names.has(key) || name === key) names.set(key, name);
  }
  return [...names.values()].sort(compareCodePoints);
}

async function checkClasses(
  dir: string,
  names: readonly string[],
  reader: FolderReader,
): Promise<void> {
  if (names.length >= 2) return;
  const found = names.length === 0 ? 'none' : `only ${list(names)}`;
  throw new DatasetError(
    `expected two or more class folders in ${dir}, found ${found}; ` +
      `the layout is ${path.join(dir, 'CLASS', 'IMAGE.jpg')}${await deeperClasses(dir, names, reader)}`,
  );
}

/** Returns words that name the folder below `dir` in which the classes may be, as archives unpack: `a/a/CLASS`. */
async function deeperClasses(
  dir: string,
  [name, second]: readonly string[],
  reader: FolderReader,
): Promise<string> {
  if (name === undefined || second !== undefined) return '';
  const content = await classContent(dir, name, reader).catch(() => null);
  const last = content?.levels.at(-1);
  if (last === undefined || last.hasImages || last.folders.length < 2) return '';
  return (
    `; if the classes are the folders in ${last.dir} (${list(last.folders)}), ` +
    `give that folder, or move them into ${dir}`
  );
}

async function checkKnown(
  dir: string,
  folders: readonly string[],
  {
    classes,
    classKey,
  }: { readonly classes: readonly string[]; readonly classKey: WalkRules['classKey'] },
  reader: FolderReader,
): Promise<void> {
  const known = new Set(classes.map(classKey));
  const unknown = folders.filter((name) => !known.has(classKey(name)));
  if (unknown.length === 0) return;
  throw new DatasetError(
    `expected class folders of the training set (${list(classes)}) in ${dir}, found ` +
      `${list(unknown)}; rename or remove it, or add the class to the training set` +
      (await deeperClasses(dir, folders, reader)),
  );
}

interface ClassesFound {
  readonly classes: readonly string[];
  /** Classes without an image. */
  readonly empty: readonly string[];
  readonly leftOut: readonly LeftOut[];
  /** Whether the caller gave the classes, so that some may be empty. */
  readonly isGiven: boolean;
}

/** @throws DatasetError if a class without an image must have one, or none has. */
function checkImages(dir: string, { classes, empty, leftOut, isGiven }: ClassesFound): void {
  const remarks = groupRemarks(dir, leftOut).map(({ message }) => message.slice(dir.length + 2));
  const found = remarks.length === 0 ? '' : ` (${remarks.join('; ')})`;
  if (empty.length > 0 && !isGiven) {
    throw new DatasetError(
      `expected images (${IMAGE_EXTENSIONS_TEXT}) in every class folder of ${dir}, found ` +
        `none in ${list(empty)}${found}; add images or remove the folder`,
    );
  }
  if (empty.length < classes.length) return;
  throw new DatasetError(
    `expected images (${IMAGE_EXTENSIONS_TEXT}) in class folders of ${dir}, found none${found}; ` +
      `put them in ${path.join(dir, classes[0] ?? 'CLASS')} and its siblings`,
  );
}

/** Returns up to five names, quoted, and how many follow. */
function list(names: readonly string[]): string {
  return listSome(names.map((name) => `"${name}"`));
}
