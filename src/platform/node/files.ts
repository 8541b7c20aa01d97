/** Files of Node.js: read whole or in parts, and written whole or not at all. */

import { randomBytes } from 'node:crypto';
import { access, type FileHandle, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { UserError } from '../../common/errors.js';
import { messageOf } from '../../common/format.js';
import { FileError, type FileContent, type Files, type OpenFile } from '../platform.js';

export const nodeFiles: Files = {
  read: (file) => asFileError(() => readWhole(file)),
  open: (file) => asFileError(() => openFile(file)),
  exists: (file) =>
    access(file).then(
      () => true,
      () => false,
    ),
  write: writeFileAtomic,
};

async function readWhole(file: string): Promise<Uint8Array<ArrayBuffer>> {
  const { buffer, byteOffset, byteLength } = await readFile(file);
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** Node.js refuses single reads of 2 GiB and more. */
const LARGEST_READ = 2 ** 30;

async function openFile(file: string): Promise<OpenFile> {
  const handle = await open(file, 'r');
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw new FileError('something that is not a regular file', 'EINVAL');
    const { size } = stat;
    return {
      size,
      read: (position, length) => asFileError(() => readRange(handle, position, length)),
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function readRange(
  handle: FileHandle,
  position: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const wanted = Math.min(length - done, LARGEST_READ);
    const { bytesRead } = await handle.read(bytes, done, wanted, position + done);
    if (bytesRead === 0) throw new FileError('a file that became shorter while read', 'EIO');
    done += bytesRead;
  }
  return bytes;
}

/** Runs `read` and turns an error of the file system into a {@link FileError}. */
async function asFileError<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    throw new FileError(cause.message, cause.code ?? 'EIO', { cause });
  }
}

/** Recognises an error of the file system. (Not by `instanceof`: test runners have their own Error class.) */
function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return typeof error === 'object' && error !== null && 'syscall' in error && 'code' in error;
}

/**
 * Replaces `file` by `data`, so that whoever reads it at any time, even after a crash or a power cut, sees
 * either the old file or the whole new one: a sibling temporary file is written, synced to the disk and
 * renamed, then the folder is synced. The folder must exist.
 *
 * @param data text (UTF-8), bytes, or chunks written one after the other.
 * @throws UserError if it cannot be written; the temporary file is gone then and an older `file` is intact.
 */
export async function writeFileAtomic(file: string, data: FileContent): Promise<void> {
  const folder = path.dirname(file);
  const temporary = temporaryName(file);
  try {
    try {
      const handle = await open(temporary, 'wx');
      try {
        await writeChunks(handle, data);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(temporary, file);
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

const TEMPORARY = /^\..+\.\d+\.[0-9a-f]{8}\.tmp$/;

/** A hidden name beside `file` that nobody else uses. */
export function temporaryName(file: string): string {
  const suffix = `${process.pid}.${randomBytes(4).toString('hex')}.tmp`;
  return path.join(path.dirname(file), `.${path.basename(file)}.${suffix}`);
}

/** Removes from a folder what killed processes left of files they were writing. */
export async function sweepTemporary(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  for (const name of names.filter((entry) => TEMPORARY.test(entry))) {
    await rm(path.join(folder, name), { force: true });
  }
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

/** Makes a rename in `folder` last through a power cut. Windows cannot open folders and does not need it. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
