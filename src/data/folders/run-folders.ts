/** Knows the folders of runs, which a command that runs in the data folder makes beside the class folders. */

import type { Dirent } from 'node:fs';
import { opendir } from 'node:fs/promises';
import path from 'node:path';
import { isImageName } from './file-names.js';

/** Folders within each other that are looked through: `--out experiments/lr/a`. */
const MAX_DEPTH = 4;

/**
 * Returns whether a folder is that of a run, finished or under way, or holds nothing but such folders, as `runs` does.
 * A folder in which images lie is neither.
 */
export async function isRunFolder(dir: string, depth = MAX_DEPTH): Promise<boolean> {
  const entries = await entriesWithoutImages(dir).catch(() => null);
  if (entries === null) return false;
  const has = (name: string): boolean => entries.some((entry) => entry.name === name);
  // The lock is made first, under a longer and hidden name.
  if (entries.some(({ name }) => /^\.?run\.lock/.test(name))) return true;
  if (has('config.json') && has('checkpoints')) return true;
  const folders = entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'));
  if (folders.length === 0 || depth === 1) return false;
  for (const { name } of folders) {
    if (!(await isRunFolder(path.join(dir, name), depth - 1))) return false;
  }
  return true;
}

/** Returns what lies in a folder; null at the first image, so that class folders are not read to their end. */
async function entriesWithoutImages(dir: string): Promise<Dirent[] | null> {
  const entries: Dirent[] = [];
  for await (const entry of await opendir(dir)) {
    if (!entry.isDirectory() && isImageName(entry.name)) return null;
    entries.push(entry);
  }
  return entries;
}
