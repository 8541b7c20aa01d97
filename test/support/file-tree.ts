/** Makes folders of files for tests. */

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll } from '@jest/globals';

/** Content of files by their paths below a folder; a path that ends in a slash is a folder. */
export type FileTree = Readonly<Record<string, string | Uint8Array>> | readonly string[];

/** Writes files, which are empty if only their paths are given. Returns the folder. */
export async function writeTree(dir: string, tree: FileTree): Promise<string> {
  const files: [string, string | Uint8Array][] = Array.isArray(tree)
    ? (tree as readonly string[]).map((name) => [name, ''])
    : Object.entries(tree as Readonly<Record<string, string | Uint8Array>>);
  await mkdir(dir, { recursive: true });
  for (const [name, content] of files) {
    const file = path.join(dir, name);
    await mkdir(name.endsWith('/') ? file : path.dirname(file), { recursive: true });
    if (!name.endsWith('/')) await writeFile(file, content);
  }
  return dir;
}

/** Makes a temporary folder for the tests of a file. Returns a function that gives the path of a new folder in it. */
export function temporaryFolders(prefix: string): () => string {
  let top: string;
  let count = 0;
  beforeAll(async () => {
    top = await mkdtemp(path.join(tmpdir(), prefix));
  });
  afterAll(async () => {
    await rm(top, { recursive: true });
  });
  return () => path.join(top, String(count++));
}

/** Makes images `a.jpg`, which are empty, in folders below `dir`. Names that end in a slash stay empty. */
export function imageFolders(dir: string, names: readonly string[]): Promise<string> {
  const files = names.map((name) => (name.endsWith('/') ? name : `${name}/a.jpg`));
  return writeTree(dir, files);
}

export const CLASS_NAMES: string[] = ['cat', 'dog'];

/** Returns the class folders of these splits. */
export function inEach(...splits: string[]): string[] {
  return splits.flatMap((split) => CLASS_NAMES.map((name) => `${split}/${name}`));
}
