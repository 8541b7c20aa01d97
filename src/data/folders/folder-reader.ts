/**
 * Reads folders and the first bytes of files, each once: who looks for the layout of a data folder and who walks its
 * images ask for the same ones.
 */

import type { Dirent } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { imageFormat } from '../../images/signatures.js';
import { isRunFolder } from './run-folders.js';

/** Number of first bytes by which a file without a known extension is judged. */
const HEAD = 64;

/** Kind of an entry, or of what it links to. */
export type Kind = 'folder' | 'file' | 'special' | 'dead';

export interface Entry {
  readonly name: string;
  readonly kind: Kind;
}

/** Answers about one folder and what lies directly in it, as far as they were asked for. */
interface Known {
  readonly entries: Promise<readonly Entry[]>;
  readonly runs: Map<string, Promise<boolean>>;
  readonly heads: Map<string, Promise<boolean>>;
}

/** Keeps what it reads, until {@link forget}. */
export class FolderReader {
  readonly #known = new Map<string, Known>();

  /** Lists a folder. @throws the error of the file system if it cannot be read. */
  entries(dir: string): Promise<readonly Entry[]> {
    return this.#folder(dir).entries;
  }

  /** Returns whether a folder in `dir` is one of a run. */
  isRun(dir: string, name: string): Promise<boolean> {
    return kept(this.#folder(dir).runs, name, () => isRunFolder(path.join(dir, name)));
  }

  /** Returns whether a file in `dir` begins as one of the images that are read. */
  beginsAsImage(dir: string, name: string): Promise<boolean> {
    return kept(this.#folder(dir).heads, name, () => beginsAsImage(path.join(dir, name)));
  }

  /** Frees the memory for a folder that nobody asks for again. */
  forget(dir: string): void {
    this.#known.delete(dir);
  }

  #folder(dir: string): Known {
    return kept(this.#known, dir, () => ({
      entries: listEntries(dir),
      runs: new Map<string, Promise<boolean>>(),
      heads: new Map<string, Promise<boolean>>(),
    }));
  }
}

function kept<T>(map: Map<string, T>, key: string, make: () => T): T {
  const found = map.get(key) ?? make();
  map.set(key, found);
  return found;
}

async function listEntries(dir: string): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    const { name } = entry;
    entries.push({ name, kind: await kindOf(entry, path.join(dir, name)) });
  }
  return entries;
}

/** Returns what an entry is, or leads to. */
async function kindOf(entry: Dirent, file: string): Promise<Kind> {
  if (entry.isDirectory()) return 'folder';
  if (entry.isFile()) return 'file';
  // An entry that is neither is a link, or lies on a file system that does not tell the type.
  const found = await stat(file).catch(() => null);
  if (found === null) return 'dead';
  return found.isDirectory() ? 'folder' : found.isFile() ? 'file' : 'special';
}

/** Returns whether a regular file begins as one of the images that are read. */
async function beginsAsImage(file: string): Promise<boolean> {
  try {
    const handle = await open(file);
    try {
      const { bytesRead, buffer } = await handle.read(Buffer.alloc(HEAD), 0, HEAD, 0);
      return isImageHead(buffer.subarray(0, bytesRead));
    } finally {
      await handle.close();
    }
  } catch {
    // It may not be read, or is not an image.
    return false;
  }
}

/**
 * Returns whether first bytes are an image's; throws if they are another file's. Two formats have so short a signature
 * that a text could begin with it (`BMW`, `P1 `), so more of their headers must fit.
 */
function isImageHead(head: Uint8Array): boolean {
  imageFormat(head);
  if (head[0] === 0x42 && head[1] === 0x4d) {
    const headerSize = (head[14] ?? 0) + 256 * (head[15] ?? 0);
    return [12, 16, 40, 52, 56, 64, 108, 124].includes(headerSize);
  }
  if (head[0] === 0x50) {
    return /^P[1-6]\s+(#|\d+\s+(#|\d))/.test(String.fromCharCode(...head));
  }
  return true;
}
