/** Names and checks of run folders. */

import { existsSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import type { Validator } from './validator.js';

/** File of a run folder that names the process that is training in it. */
export const LOCK_FILE = 'run.lock';

/** Returns the number of the next run folder `<name>-N`: one more than the highest in `parent`. */
export function nextRunNumber(name: string, parent: string): number {
  const pattern = new RegExp(`^${name}-(\\d{1,9})$`);
  const taken = namesIn(parent).map((entry) => Number(pattern.exec(entry)?.[1] ?? 0));
  return Math.max(0, ...taken) + 1;
}

/** Returns the names in a folder; none if it cannot be read: the check of the run folder says so, or making it. */
function namesIn(dir: string): readonly string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}

/** Returns `runs/<name>-N`, with N one more than the highest number in `parent`. Another process may make it first. */
export function nextRunDir(name = 'train', parent = 'runs'): string {
  return path.join(parent, `${name}-${nextRunNumber(name, parent)}`);
}

/** Returns whether a folder holds no files of a run. The lock of a run that was killed early does not count. */
export function holdsNothing(dir: string): boolean {
  return readdirSync(dir).every((name) => name.replace(/^\./, '').startsWith(LOCK_FILE));
}

/** Returns the file that keeps `dir` from being made: its nearest existing parent, unless that is a folder. */
function fileAbove(dir: string): string | null {
  let above = path.resolve(dir);
  while (!existsSync(above)) {
    // The root of a Windows drive that does not exist.
    if (path.dirname(above) === above) return null;
    above = path.dirname(above);
  }
  return statSync(above).isDirectory() ? null : above;
}

/**
 * Checks that a run can be written to `out`: a folder that is new or empty.
 *
 * @throws ConfigError if not.
 */
export function checkOut(out: string, validator: Validator): string {
  const expected = 'a new or empty folder';
  if (!existsSync(out)) {
    const file = fileAbove(out);
    if (file === null) return out;
    throw validator.error('out', expected, out, `${file} is a file; choose another name`);
  }
  const advice = 'it exists already; choose another name or delete it';
  if (!statSync(out).isDirectory() || !holdsNothing(out)) {
    throw validator.error('out', expected, out, advice);
  }
  return out;
}
