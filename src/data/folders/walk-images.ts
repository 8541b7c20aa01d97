/**
 * Finds images in folders: the one walker of `train`, `find-lr`, `evaluate`, `predict` and the checks. It says of
 * everything that it does not return why.
 */

import { lstat, stat } from 'node:fs/promises';
import path from 'node:path';
import { DatasetError } from '../../common/errors.js';
import { compareCodePoints, isOtherImageName } from './file-names.js';
import type { LeftOut } from '../remarks.js';
import { FolderReader } from './folder-reader.js';
import { RULES } from './walk-rules.js';

/** Files whose first bytes are read at the same time. */
const HEADS_AT_ONCE = 32;

/** Content of one folder, without that of the folders in it. Names are in order of code points. */
export interface Listing {
  /** Folders and links to folders, without those left out. */
  readonly folders: readonly string[];
  readonly images: readonly string[];
  /** Images among them that are known by their first bytes and not by their names. */
  readonly byContent: readonly string[];
  /** Links that lead nowhere and are not images by their names. */
  readonly deadLinks: readonly string[];
  readonly leftOut: readonly LeftOut[];
}

/** Images below a folder. */
export interface FoundImages {
  /** Paths, by folder path and then by name, as torchvision sorts `os.walk`. */
  readonly files: readonly string[];
  /** Images among them that are known by their first bytes and not by their names. */
  readonly byContent: readonly string[];
  readonly leftOut: readonly LeftOut[];
}

/**
 * Lists what lies directly in a folder. Links are followed.
 *
 * @param reader what was read before.
 * @param depth as {@link WalkRules.leftover} has it.
 * @throws the error of the file system if the folder cannot be read.
 */
export async function listFolder(
  dir: string,
  reader = new FolderReader(),
  rules = RULES,
  depth = 0,
): Promise<Listing> {
  const found = {
    folders: [] as string[],
    images: [] as string[],
    byContent: [] as string[],
    deadLinks: [] as string[],
    leftOut: [] as LeftOut[],
  };
  const unknown: string[] = [];
  for (const { name, kind } of await reader.entries(dir)) {
    const file = path.join(dir, name);
    const leftover = rules.leftover(name, kind === 'folder', depth);
    const isUsed = leftover === null && (kind === 'folder' || rules.isImage(name));
    // Node.js puts this character for bytes that are not UTF-8, and then does not find the file.
    if (isUsed && name.includes('\uFFFD')) await lstat(file).catch(() => refuseName(dir, name));
    if (leftover !== null) {
      found.leftOut.push({ path: kind === 'folder' ? file + path.sep : file, reason: leftover });
    } else if (depth === 0 && kind === 'folder' && (await reader.isRun(dir, name))) {
      found.leftOut.push({ path: file + path.sep, reason: 'run' });
    } else if (kind === 'folder') found.folders.push(name);
    // A broken link, or a pipe, with the name of an image fails when the images are checked.
    else if (rules.isImage(name)) found.images.push(name);
    else if (isOtherImageName(name)) found.leftOut.push({ path: file, reason: 'format' });
    else if (kind === 'file' && rules.byContent) unknown.push(name);
    else if (kind === 'dead') found.deadLinks.push(name);
    else found.leftOut.push({ path: file, reason: 'not-image' });
  }
  for (let at = 0; at < unknown.length; at += HEADS_AT_ONCE) {
    const some = unknown.slice(at, at + HEADS_AT_ONCE);
    const known = await Promise.all(some.map((name) => reader.beginsAsImage(dir, name)));
    for (const [i, name] of some.entries()) {
      if (known[i] === true) found.byContent.push(name);
      else found.leftOut.push({ path: path.join(dir, name), reason: 'not-image' });
    }
  }
  found.images.push(...found.byContent);
  for (const names of [found.folders, found.images, found.byContent, found.deadLinks]) {
    names.sort(compareCodePoints);
  }
  return found;
}

/**
 * Finds the images below a folder. Links are followed.
 *
 * @param reader what was read before; it forgets the folders.
 * @throws DatasetError if a folder cannot be read or links to one that holds it.
 */
export async function imagesBelow(
  top: string,
  rules = RULES,
  reader = new FolderReader(),
): Promise<FoundImages> {
  const byFolder = new Map<string, readonly string[]>();
  const byContent: string[] = [];
  const leftOut: LeftOut[] = [];
  const walk = async (dir: string, above: readonly string[]): Promise<void> => {
    const identity = await reached(dir, (at) => stat(at, { bigint: true }));
    const key = `${identity.dev.toString()}:${identity.ino.toString()}`;
    if (above.includes(key)) throw cycle(dir);
    const listing = await reached(dir, (at) => listFolder(at, reader, rules, above.length + 1));
    reader.forget(dir);
    byFolder.set(dir, listing.images);
    byContent.push(...listing.byContent.map((name) => path.join(dir, name)));
    leftOut.push(...listing.leftOut);
    for (const name of listing.deadLinks) {
      leftOut.push({ path: path.join(dir, name), reason: 'not-image' });
    }
    for (const name of listing.folders) await walk(path.join(dir, name), [...above, key]);
  };
  await walk(top, []);
  const files = [...byFolder.keys()]
    .sort(compareCodePoints)
    .flatMap((dir) => (byFolder.get(dir) ?? []).map((name) => path.join(dir, name)));
  return { files, byContent, leftOut };
}

/** Returns the error for a link to a folder that holds it: a walk would not end. */
export function cycle(link: string): DatasetError {
  return new DatasetError(
    `expected folders without a cycle, found ${link}, a link to a folder that holds it; ` +
      `remove the link`,
  );
}

function refuseName(dir: string, name: string): never {
  throw new DatasetError(
    `expected file names in UTF-8 in ${dir}, found "${name}", which is not (\uFFFD stands for the bytes that are not); ` +
      'rename it, or all such files at once with convmv',
  );
}

/** Calls `look` on a path below the data folder. @throws DatasetError if the path cannot be read. */
export async function reached<T>(at: string, look: (at: string) => Promise<T>): Promise<T> {
  return look(at).catch((cause: unknown) => {
    if (cause instanceof DatasetError) throw cause;
    throw new DatasetError(
      `expected to look into ${at}, found ${systemReason(cause)}; repair the link or the permissions, or remove it`,
      { cause },
    );
  });
}

/** Says in a few words why the file system refused. */
export function systemReason(cause: unknown): string {
  const code = (cause as NodeJS.ErrnoException).code;
  if (code === 'ENOENT') return 'nothing';
  if (code === 'ENOTDIR') return 'a file';
  if (code === 'ELOOP') return 'a link that leads back to itself';
  if (code === 'EACCES') return 'that it may not be read';
  return String(code ?? cause);
}
