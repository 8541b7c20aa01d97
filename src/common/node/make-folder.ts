/** Folders made one by one, on Node.js. */

import { mkdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { UserError } from '../errors.js';
import { codeOf, messageOf } from '../format.js';

export interface FolderWords {
  /** Name of the folder in a message; default `the folder`. */
  readonly name?: string;
  /** Advice of a message. */
  readonly advice?: string;
}

/**
 * Makes a folder and those above it that are missing; does nothing if it is there. Takes the place of Node's
 * recursive `mkdir`, which never ends where the system says ENOENT although the parent exists (in /proc, and in
 * folders that autofs serves).
 *
 * @returns the absolute paths of the folders that were made, the innermost first.
 * @throws UserError if that fails.
 */
export async function makeFolder(
  dir: string,
  { name = 'the folder', advice = 'check its path and the permissions' }: FolderWords = {},
): Promise<string[]> {
  try {
    return await makeWithParents(path.resolve(dir));
  } catch (cause) {
    const reason = messageOf(cause);
    throw new UserError(`expected to make ${name} ${dir}, failed with ${reason}; ${advice}`, {
      cause,
    });
  }
}

async function makeWithParents(dir: string): Promise<string[]> {
  if (await makeOne(dir)) return [dir];
  if (await isDirectory(dir)) return [];
  const parent = path.dirname(dir);
  // The parent may be there: another process has just made it, or the system takes no folders in it.
  const above = (await isDirectory(parent)) || parent === dir ? [] : await makeWithParents(parent);
  if (await makeOne(dir)) return [dir, ...above];
  if (await isDirectory(dir)) return above;
  throw new Error(`ENOENT: ${parent} takes no new folders`);
}

/** Makes one folder. Returns false if something of that name is there, or if its parent is missing. */
async function makeOne(dir: string): Promise<boolean> {
  try {
    await mkdir(dir);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    // Windows and macOS have other codes for the root of a drive.
    if (await isDirectory(dir)) return false;
    throw error;
  }
}

async function isDirectory(dir: string): Promise<boolean> {
  return stat(dir).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
