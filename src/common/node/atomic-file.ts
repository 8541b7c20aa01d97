/** Files that are written whole or not at all, on Node.js. */

import { randomBytes } from 'node:crypto';
import { type FileHandle, open, readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import type { FileContent } from '../../platform/platform.js';
import { UserError } from '../errors.js';
import { messageOf } from '../format.js';
import { replacedFile } from './replaced-file.js';

/**
 * Replaces `file` by `data`. Whoever reads it at any time, even after a crash or a power cut, sees either the
 * old file or the whole new one: a temporary file beside it is written, synced to the disk and renamed, then
 * the folder is synced. The folder must exist. A symbolic link is followed: the file that it leads to is replaced.
 *
 * @param data text (UTF-8), bytes, or chunks written one after the other.
 * @throws UserError if it cannot be written, or if `file` is not a regular file, such as a device; the temporary file
 *   is gone then and an older `file` is intact.
 */
export async function writeFileAtomic(file: string, data: FileContent): Promise<void> {
  const { target, obstacle } = await replacedFile(file);
  if (obstacle !== null) {
    throw new UserError(
      `expected a regular file or none at ${target}, to write ${file}, found ${obstacle}; choose another name`,
    );
  }
  const folder = path.dirname(target);
  const temporary = temporaryName(target);
  try {
    try {
      const handle = await open(temporary, 'wx');
      try {
        await writeChunks(handle, data);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(temporary, target);
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => undefined);
      throw error;
    }
    await syncFolder(folder);
  } catch (cause) {
    const reason = messageOf(cause);
    throw new UserError(
      `expected to write ${file}, failed with ${reason}; check that the folder exists, may be written to and has space`,
      { cause },
    );
  }
}

const TEMPORARY = /^\.(.+)\.\d+\.[0-9a-f]{8}\.tmp$/;

/** Returns a hidden name beside `file` that nobody else uses. */
export function temporaryName(file: string): string {
  const suffix = `${process.pid}.${randomBytes(4).toString('hex')}.tmp`;
  return path.join(path.dirname(file), `.${path.basename(file)}.${suffix}`);
}

/**
 * Removes the temporary files that killed processes left in a folder.
 *
 * @param isLeft says of a file whether nobody is writing it any more.
 * @param isLeft.name name of the file that it was to become.
 * @param isLeft.age milliseconds since it was written to.
 */
export async function sweepTemporary(
  folder: string,
  isLeft: (name: string, age: number) => boolean,
): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  for (const entry of names) {
    const name = TEMPORARY.exec(entry)?.[1];
    const file = path.join(folder, entry);
    const found = name === undefined ? null : await stat(file).catch(() => null);
    if (name === undefined || found === null) continue;
    if (isLeft(name, Date.now() - found.mtimeMs)) await rm(file, { force: true });
  }
}

/** Milliseconds after which no process is still writing a temporary file. */
const ABANDONED = 3_600_000;

/**
 * Removes the temporary files that killed processes left in a folder which others may be writing to, an hour after the
 * last write at the earliest.
 *
 * @param isOurs says of the name of a file that one was to become whether it may be removed.
 */
export async function sweepAbandoned(
  folder: string,
  isOurs: (name: string) => boolean,
): Promise<void> {
  await sweepTemporary(folder, (name, age) => age > ABANDONED && isOurs(name));
}

async function writeChunks(handle: FileHandle, data: FileContent): Promise<void> {
  const whole = typeof data === 'string' ? Buffer.from(data, 'utf8') : data;
  for (const chunk of whole instanceof Uint8Array ? [whole] : whole) {
    let done = 0;
    while (done < chunk.byteLength) {
      const { bytesWritten } = await handle.write(chunk, done, chunk.byteLength - done);
      done += bytesWritten;
    }
  }
}

/** Makes a rename in `folder` survive a power cut. Windows cannot open folders and does not need it. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
