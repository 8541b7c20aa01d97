/** Looks at what folders hold that may be classes: folders of the same names are splits, sources or copies of the data. */

import { realpath } from 'node:fs/promises';
import path from 'node:path';
import { composed } from '../../common/text.js';
import type { FolderReader } from './folder-reader.js';
import { listFolder, reached } from './walk-images.js';

/** A folder, and what lies directly in it. */
interface Level {
  readonly dir: string;
  readonly folders: readonly string[];
  readonly hasImages: boolean;
}

/** A folder that may be a class. */
export interface ClassContent {
  readonly name: string;
  /** The folder; if nothing but one folder is in it, that one, too, and so on, as archives unpack: `a/a/CLASS`. */
  readonly levels: readonly Level[];
}

/** Lists a folder of `dir`. @throws DatasetError if it cannot be read. */
export async function classContent(
  dir: string,
  name: string,
  reader: FolderReader,
): Promise<ClassContent> {
  const levels: Level[] = [];
  const seen = new Set<string>();
  const look = async (at: string): Promise<void> => {
    const real = await reached(at, (one) => realpath(one));
    // The walk of the images refuses a link to a folder that holds it.
    if (seen.has(real)) return;
    seen.add(real);
    const { folders, images } = await reached(at, (one) => listFolder(one, reader));
    levels.push({ dir: at, folders, hasImages: images.length > 0 });
    const [only, second] = folders;
    if (only === undefined || second !== undefined || images.length > 0) return;
    await look(path.join(at, only));
  };
  await look(path.join(dir, name));
  return { name, levels };
}

/** Returns the names of the folders in a folder, looking through lone ones; none if images lie beside them. */
function inner({ levels }: ClassContent): ReadonlySet<string> {
  const last = levels.at(-1);
  return new Set(last === undefined || last.hasImages ? [] : last.folders.map(composed));
}

/**
 * Returns the folders that hold two or more folders, all with names of class folders beside them: `A`, `B` and
 * `backup/A`, `backup/B`.
 */
export function copiesAmong(found: readonly ClassContent[]): string[] {
  const holders = (names: ReadonlySet<string>): ClassContent[] =>
    found.filter((one) => {
      const below = inner(one);
      return below.size > 1 && [...below].every((name) => names.has(name));
    });
  const namesOf = (some: readonly ClassContent[]): ReadonlySet<string> =>
    new Set(some.map(({ name }) => composed(name)));
  const all = holders(namesOf(found));
  // Classes that hold folders of each other's names are not copies.
  return holders(namesOf(found.filter((one) => !all.includes(one)))).map(({ name }) => name);
}

/**
 * Returns whether folders hold nothing but folders, and share the names of at least two of them, and of half of those
 * in the smallest.
 */
export function holdSame(found: readonly ClassContent[]): boolean {
  const [first, ...others] = found.map(inner);
  if (first === undefined || others.length === 0) return false;
  const shared = [...first].filter((name) => others.every((one) => one.has(name))).length;
  const smallest = Math.min(first.size, ...others.map(({ size }) => size));
  return shared >= 2 && 2 * shared >= smallest;
}
