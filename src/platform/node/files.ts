/** Files of Node.js, for the portable rooms. */

import { access, type FileHandle, open, readFile } from 'node:fs/promises';
import { writeFileAtomic } from '../../common/node/atomic-file.js';
import { FileError, type Files, type OpenFile } from '../platform.js';

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
