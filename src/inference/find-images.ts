/** The images that the words of a `predict` call mean. */

import { stat } from 'node:fs/promises';
import path from 'node:path';
import { escapePath, glob } from 'tinyglobby';
import { ConfigError } from '../common/errors.js';
import { decodeText } from '../common/text.js';
import { IMAGE_EXTENSIONS, compareCodePoints, imagesBelow } from '../data/image-folder.js';
import type { InputImage } from '../data/dataset.js';
import { imageFormat } from '../images/signatures.js';

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
): AsyncGenerator<InputImage> {
  for (const word of words) {
    if (word === '-') yield* fromInput(input);
    else yield* imagesOf(word);
  }
}

/**
 * Finds the images that a path or a pattern means.
 *
 * @throws ConfigError for a pattern or folder without an image.
 */
export async function* imagesOf(word: string): AsyncGenerator<InputImage> {
  for (const name of await filesOf(word)) yield { name, image: name };
}

async function filesOf(word: string): Promise<string[]> {
  const found = await stat(word).catch(() => null);
  if (found?.isDirectory() === true) {
    const { files } = await imagesBelow(word);
    if (files.length > 0) return files.sort(compareCodePoints);
    throw refused(word, `images (${IMAGE_EXTENSIONS.join(' ')})`);
  }
  // A file may have the name that a pattern would have.
  if (found !== null || !isPattern(word)) return [word];
  const files = await matches(word);
  if (files.length > 0) return files;
  throw refused(word, 'a match of the pattern');
}

function refused(word: string, expected: string): ConfigError {
  return new ConfigError(`expected ${expected} in ${word}, found none; check it`);
}

function isPattern(part: string): boolean {
  return /[*?[]/.test(part);
}

/** Returns the files that match a pattern, by code point: `*`, `?` and `[abc]` stay within a folder, `**` does not. */
async function matches(pattern: string): Promise<string[]> {
  const parts = pattern.replaceAll('\\', '/').split('/');
  const fixed = parts.slice(0, parts.findIndex(isPattern));
  const folder = fixed.length === 0 ? '.' : fixed.join('/') || '/';
  const rest = parts
    .slice(fixed.length)
    // Only *, ?, [ and ] are special. Braces, parentheses and a leading ! are characters of a name.
    .map((part) => (isPattern(part) ? part.replace(/[(){}|+@]|^!/g, '\\$&') : escapePath(part)))
    .join('/');
  const files = await glob(rest, {
    cwd: folder,
    dot: true,
    expandDirectories: false,
    followSymbolicLinks: false,
    braceExpansion: false,
    extglob: false,
  });
  return files.map((file) => path.join(folder, file)).sort(compareCodePoints);
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
  for (const name of list) yield { name, image: name };
}

/** An image in text, such as a PGM of the form P2, is an image all the same. */
const TEXT_IMAGE = /^P[1-3]\s+(#[^\n]*\n\s*)*\d+\s+\d+\s/;

/** Returns the paths in a list, one per line or each ended by a NUL (`find -print0`); null for the bytes of an image. */
function pathList(bytes: Uint8Array): string[] | null {
  let text: string;
  try {
    text = decodeText(bytes);
  } catch {
    return null;
  }
  const separated = text.includes('\0');
  if (TEXT_IMAGE.test(text) || (separated && (isImage(bytes) || /^\0|\0\0/.test(text))))
    return null;
  return text.split(separated ? '\0' : /\r?\n/).filter((line) => line !== '');
}

function isImage(bytes: Uint8Array): boolean {
  try {
    imageFormat(bytes);
    return true;
  } catch {
    return false;
  }
}
