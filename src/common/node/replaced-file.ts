/** Finds the file that a write replaces, on Node.js. */

import type { Stats } from 'node:fs';
import { lstat, readlink, realpath } from 'node:fs/promises';
import path from 'node:path';

/** Links that Linux follows in one path. */
const MOST_LINKS = 40;

/** Place that a write to a path ends at. */
export interface ReplacedFile {
  /** The path itself, or the one that it leads to as a symbolic link. */
  readonly target: string;
  /** Whether something is there. */
  readonly exists: boolean;
  /** Words for what is there if it is not a regular file, which a rename must not replace; else null. */
  readonly obstacle: string | null;
}

/** Follows symbolic links from `file` to the place that a write to it ends at. The last one may lead to nothing. */
export async function replacedFile(file: string): Promise<ReplacedFile> {
  let target = file;
  for (let links = 0; links < MOST_LINKS; links++) {
    // A place that cannot be looked at cannot be written to either: the write says why.
    const found = await lstat(target).catch(() => null);
    if (found === null) return { target, exists: false, obstacle: null };
    if (!found.isSymbolicLink()) return { target, exists: true, obstacle: obstacleOf(found) };
    const folder = await realpath(path.dirname(target));
    // Such links name open files, as /dev/stdout does; a rename would not write to them.
    if (/^\/(dev|proc)(\/|$)/.test(folder)) return { target, exists: true, obstacle: 'a device' };
    target = path.resolve(folder, await readlink(target));
  }
  return { target: file, exists: true, obstacle: 'a symbolic link that leads in a circle' };
}

function obstacleOf(found: Stats): string | null {
  if (found.isFile()) return null;
  if (found.isDirectory()) return 'a folder';
  if (found.isFIFO()) return 'a named pipe';
  return found.isSocket() ? 'a socket' : 'a device';
}
