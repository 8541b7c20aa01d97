/** `predict`: what a trained network says of pictures. */

import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { topClasses } from '../metrics/logits.js';
import type { InputImage } from './classifier.js';
import { IMAGE_EXTENSIONS, compareCodePoints } from '../data/image-folder.js';
import { ConfigError } from '../common/errors.js';
import type { Classifier } from './classifier.js';

/** The most probable classes of one image, or why there are none. */
export type Prediction =
  | {
      readonly path: string;
      readonly classes: readonly { readonly name: string; readonly probability: number }[];
      readonly error?: undefined;
    }
  | { readonly path: string; readonly error: string };

/** Classifies images in order; one that cannot be read is reported and the rest go on. */
export async function* predict(
  classifier: Classifier,
  items: AsyncIterable<InputImage> | Iterable<InputImage>,
  top = 5,
): AsyncGenerator<Prediction> {
  const { classes } = classifier;
  for await (const { item, ...outcome } of classifier.classify(items)) {
    if (outcome.error !== undefined) {
      yield { path: item.name, error: outcome.error.message };
      continue;
    }
    const found = topClasses(outcome.logits, 0, classes.length, top);
    yield {
      path: item.name,
      classes: found.map(({ label, probability }) => ({ name: classes[label] ?? '', probability })),
    };
  }
}

/**
 * The images that words on the command line mean: files, folders (every image below), patterns with
 * `*`, `?`, `[abc]` and `**` (for shells that leave them alone), and `-` for standard input: an image, or a list
 * of paths, one a line.
 *
 * @throws ConfigError for a pattern or folder without an image.
 */
export async function* findImages(
  words: readonly string[],
  input: AsyncIterable<Uint8Array>,
): AsyncGenerator<InputImage> {
  for (const word of words) {
    if (word === '-') {
      yield* fromInput(input);
      continue;
    }
    const found = await stat(word).catch(() => null);
    const names =
      found === null && /[*?[]/.test(word)
        ? await matches(word)
        : found?.isDirectory()
          ? await imagesBelow(word)
          : [word];
    if (names.length === 0) {
      const what =
        found === null ? 'a match of the pattern' : `images (${IMAGE_EXTENSIONS.join(' ')})`;
      throw new ConfigError(`expected ${what} in ${word}, found none; check it`);
    }
    for (const name of names) yield { name, image: name };
  }
}

async function* fromInput(input: AsyncIterable<Uint8Array>): AsyncGenerator<InputImage> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of input) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  const text = asText(bytes);
  if (text === null) {
    yield { name: '-', image: Uint8Array.from(bytes) };
    return;
  }
  for (const line of text.split(/\r?\n/)) if (line !== '') yield { name: line, image: line };
}

/** Null for what cannot be a list of paths, as no image can. */
function asText(bytes: Uint8Array): string | null {
  if (bytes.includes(0)) return null;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}

function isImageName(name: string): boolean {
  const lower = name.toLowerCase();
  return IMAGE_EXTENSIONS.some((extension) => lower.endsWith(extension));
}

async function imagesBelow(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory() && isImageName(entry.name))
    .map((entry) => path.join(entry.parentPath, entry.name))
    .sort(compareCodePoints);
}

/** Files whose path matches: `*`, `?` and `[abc]` stay within a folder, `**` crosses folders. */
async function matches(pattern: string): Promise<string[]> {
  const parts = pattern.replaceAll('\\', '/').split('/');
  const fixed = parts.slice(
    0,
    parts.findIndex((part) => /[*?[]/.test(part)),
  );
  const root = fixed.length === 0 ? '.' : fixed.join('/') || '/';
  const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch(() => []);
  const source = parts
    .slice(fixed.length)
    .map((part, i, all) => {
      if (part === '**') return i === all.length - 1 ? '.*' : '(?:.*/)?';
      const own = part
        .replace(/[.+^${}()|\\]/g, '\\$&')
        .replaceAll('[!', '[^')
        .replaceAll('*', '[^/]*')
        .replaceAll('?', '[^/]');
      return i === all.length - 1 ? own : `${own}/`;
    })
    .join('');
  const expression = new RegExp(`^${source}$`, 'u');
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .filter((file) => expression.test(path.relative(root, file).replaceAll(path.sep, '/')))
    .sort(compareCodePoints);
}
