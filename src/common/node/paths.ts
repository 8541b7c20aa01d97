/** Questions about paths of the file system. */

import { statSync } from 'node:fs';

/** Returns whether there is a folder at `path`; links are followed. */
export function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
