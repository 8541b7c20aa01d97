/** Checks before the work that its result can be written: nothing else is replaced. */

import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { sweepAbandoned } from '../common/node/atomic-file.js';
import { isFolder } from '../common/node/paths.js';
import { replacedFile } from '../common/node/replaced-file.js';
import type { Validator } from './validator.js';

/** Size that a file of ours never has, and that Node.js does not read at once. */
const TOO_LARGE = 2 ** 31;

/** A file that a command is to write. */
export interface Output {
  /** Name of the option. */
  readonly option: string;
  /** Value of the option, if it is not the file. */
  readonly given?: string;
  readonly file: string;
  /** Words for what the option may name: `a new file, or …`. */
  readonly expected: string;
  /** Says of the bytes of an older file whether it is of that kind. */
  readonly isOwn: (bytes: Uint8Array) => boolean;
}

/**
 * Checks that a file can be written without loss: nothing is there, or an empty file, or an older file of the kind.
 * Symbolic links are followed, as the write follows them. Removes what killed commands left of writing it.
 *
 * @throws ConfigError if not.
 */
export async function checkOutput(
  { option, file, given = file, expected, isOwn }: Output,
  validator: Validator,
): Promise<void> {
  const refuse = (found: string): never => {
    throw validator.error(option, expected, given, found);
  };
  const { target, exists, obstacle } = await replacedFile(file);
  const folder = path.dirname(target);
  if (obstacle !== null) refuse(`${target} is ${obstacle}; choose another name`);
  if (/[\\/]$/.test(file)) refuse('it ends as a folder does; add the name of a file');
  if (!isFolder(folder)) refuse(`there is no folder ${folder}; make it, or choose another`);
  if (exists) {
    const { size } = await stat(target);
    const isReplaced = size === 0 || (size < TOO_LARGE && isOwn(await readFile(target)));
    if (!isReplaced)
      refuse(`${target} holds something else; choose another name, or move that file away`);
  }
  await sweepAbandoned(folder, (name) => name === path.basename(target));
}
