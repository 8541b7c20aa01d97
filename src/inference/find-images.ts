/** The images that the words of a `predict` call mean. */

import { existsSync } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { glob } from 'tinyglobby';
import { ConfigError } from '../common/errors.js';
import type { DataRemark } from '../common/events.js';
import { messageOf } from '../common/format.js';
import { decodeText } from '../common/text.js';
import { emptyPath } from '../config/predict-options.js';
import type { InputImage } from '../data/dataset.js';
import {
  compareCodePoints,
  IMAGE_EXTENSIONS_TEXT,
  leftoverReason,
} from '../data/folders/file-names.js';
import { groupRemarks, type LeftOut } from '../data/remarks.js';
import { ANY_FOLDER_RULES } from '../data/folders/walk-rules.js';
import { cycle, imagesBelow } from '../data/folders/walk-images.js';
import { imageFormat } from '../images/signatures.js';
import { globPart, isPattern } from './glob-part.js';

/** Called with what is left out of a folder or pattern: once for each kind of thing. */
type OnRemark = (remark: DataRemark) => void;

/**
 * Finds the images that words on the command line mean, in the order of the words. A word is a file, a folder (every
 * image below it), a pattern with `*`, `?`, `[abc]` or `**` (for shells that do not expand them), or `-`: an image on
 * standard input, or a list of paths there, one per line, or each ended by a NUL. The list may be UTF-8 or UTF-16.
 *
 * @throws ConfigError for a pattern or folder without an image.
 */
export async function* findImages(
  words: readonly string[],
  input: AsyncIterable<Uint8Array>,
  onRemark?: OnRemark,
): AsyncGenerator<InputImage> {
  for (const word of words) {
    if (word === '-') yield* fromInput(input);
    else yield* imagesOf(word, onRemark);
  }
}

/**
 * Finds the images that a path or a pattern means.
 *
 * @throws ConfigError for a pattern or folder without an image.
 */
export async function* imagesOf(word: string, onRemark?: OnRemark): AsyncGenerator<InputImage> {
  for (const name of await filesOf(word, onRemark)) yield { name, image: name };
}

async function filesOf(
  word: string,
  onRemark: OnRemark = () => undefined,
): Promise<readonly string[]> {
  if (word === '') throw emptyPath();
  const found = await stat(word).catch(() => null);
  if (found?.isDirectory() === true) {
    const { files, byContent, leftOut } = await imagesBelow(word, ANY_FOLDER_RULES);
    const content = byContent.map((file): LeftOut => ({ path: file, reason: 'content' }));
    groupRemarks(word, [...leftOut, ...content]).forEach(onRemark);
    if (files.length > 0) return [...files].sort(compareCodePoints);
    throw refused(word, `images (${IMAGE_EXTENSIONS_TEXT})`);
  }
  // A file may have the name that a pattern would have.
  if (found !== null || !isPattern(word)) return [word];
  const { files, folder, leftOut } = await matches(word);
  groupRemarks(folder, leftOut).forEach(onRemark);
  if (files.length > 0) return files;
  throw refused(word, 'a match of the pattern');
}

function refused(word: string, expected: string): ConfigError {
  return new ConfigError(`expected ${expected} in ${word}, found none; check it`);
}

interface Matches {
  /** Paths by code point. */
  readonly files: readonly string[];
  /** The part of the pattern that is not one. */
  readonly folder: string;
  readonly leftOut: readonly LeftOut[];
}

/**
 * Returns the files that match a pattern: `*`, `?` and `[abc]` stay within a folder, `**` does not. Links are followed,
 * as in folders. Hidden files and leftovers are left out, as in folders; hidden ones are not if a part of the pattern
 * begins with a dot.
 */
async function matches(pattern: string): Promise<Matches> {
  const parts = pattern.replaceAll('\\', '/').split('/');
  const fixed = parts.slice(0, parts.findIndex(isPattern));
  const folder = fixed.length === 0 ? '.' : fixed.join('/') || '/';
  const rest = parts.slice(fixed.length);
  const found = await glob(rest.map(globPart).join('/'), {
    cwd: folder,
    dot: true,
    expandDirectories: false,
    braceExpansion: false,
    extglob: false,
  });
  await refuseCycles(folder, found);
  const takesHidden = rest.some((part) => part.startsWith('.'));
  const files: string[] = [];
  const leftOut: LeftOut[] = [];
  for (const file of found.sort(compareCodePoints)) {
    const at = path.join(folder, file);
    const reason = leftoverIn(file.split('/'));
    if (reason === null || (reason === 'hidden' && takesHidden)) files.push(at);
    else leftOut.push({ path: at, reason });
  }
  return { files, folder, leftOut };
}

/** @throws DatasetError if one of the files lies behind a link to a folder that holds the link. */
async function refuseCycles(top: string, files: readonly string[]): Promise<void> {
  for (const dir of new Set(files.map((file) => path.posix.dirname(file)))) {
    const above = new Set<string>();
    let at = top;
    for (const part of ['.', ...dir.split('/')]) {
      at = path.join(at, part);
      const real = await realpath(at);
      if (above.has(real) && part !== '.' && part !== '..') throw cycle(at);
      above.add(real);
    }
  }
}

/** Returns why a path is left out; null if it is not. */
function leftoverIn(parts: readonly string[]): 'hidden' | 'leftover' | null {
  const reasons = parts.map((part, i) => leftoverReason(part, i < parts.length - 1));
  return reasons.find((reason) => reason === 'leftover') ?? reasons.find(Boolean) ?? null;
}

async function* fromInput(input: AsyncIterable<Uint8Array>): AsyncGenerator<InputImage> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of input) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  const list = pathList(bytes);
  if (list === null) {
    yield { name: '-', image: Uint8Array.from(bytes) };
    return;
  }
  if (list.length === 0) {
    throw new ConfigError(
      'expected an image or a list of paths on standard input, found nothing; check the command before the pipe',
    );
  }
  for (const name of list) yield { name, image: name };
}

/** An image in text, such as a PGM of the form P2, is an image all the same. */
const TEXT_IMAGE = /^P[1-3]\s+(#[^\n]*\n\s*)*\d+\s+\d+\s/;

/**
 * Returns the paths in a list, one per line or each ended by a NUL (`find -print0`); null for the bytes of an image.
 *
 * @throws ConfigError for bytes that are neither, such as a list in Latin-1.
 */
function pathList(bytes: Uint8Array): string[] | null {
  let text: string;
  try {
    text = nulList(bytes) ?? decodeText(bytes);
  } catch (cause) {
    if (bytes.includes(0) || isImage(bytes)) return null;
    throw new ConfigError(
      `expected an image or a list of paths on standard input, found ${messageOf(cause)}`,
      { cause },
    );
  }
  const separated = text.includes('\0');
  if (TEXT_IMAGE.test(text) || (separated && (isImage(bytes) || /^\0|\0\0/.test(text))))
    return null;
  return text.split(separated ? '\0' : /\r?\n/).filter((line) => line !== '');
}

/**
 * Returns the text of a list in which each path is ended by a NUL; null for other bytes. Names of one letter look like
 * UTF-16 without a mark. That is what they are if there is a line break in it, or a file of that name.
 */
function nulList(bytes: Uint8Array): string | null {
  if (bytes.at(-1) !== 0) return null;
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    if (text.endsWith('\0\0')) return null;
    const wide = new TextDecoder('utf-16le').decode(bytes);
    const isWide = bytes[1] === 0 && (/[\r\n]/.test(wide) || existsSync(wide));
    return isWide ? null : text;
  } catch {
    return null;
  }
}

function isImage(bytes: Uint8Array): boolean {
  try {
    imageFormat(bytes);
    return true;
  } catch {
    return false;
  }
}
