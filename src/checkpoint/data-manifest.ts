/** Lists the images of a run in its folder, and checks that a resumed run still has them. */

import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { ImageFolder } from '../data/folders/image-folder.js';
import type { DataFile } from '../data/dataset.js';
import type { RunData } from '../data/open-datasets.js';
import { sampleNames } from '../data/folders/image-folder.js';
import type { ResumePoint } from './resume-point.js';
import { checkInputs, type RunInputs } from './resume-settings.js';
import type { RunFolder } from './run-folder.js';
import { listSome } from '../common/format.js';

/** One line per image: its path in the data folder, and the SHA-256 of its bytes. */
const IMAGES = 'images.jsonl';
/** Written if there was no `val` folder: the paths of the images taken for validation, one per line. */
export const VALIDATION = 'validation.txt';
/** One line per broken image that is left out: its path and the reason. */
const SKIPPED = 'skipped.jsonl';

export async function writeDataFiles(folder: RunFolder, data: RunData): Promise<void> {
  const { files, skipped, train, val } = data;
  const lines = (items: readonly unknown[]): string =>
    items.map((item) => JSON.stringify(item) + '\n').join('');
  if (files.length > 0) await folder.write(IMAGES, lines(files));
  if (train instanceof ImageFolder && val instanceof ImageFolder && train.dir === val.dir) {
    await folder.write(VALIDATION, sampleNames(val).join('\n') + '\n');
  }
  if (skipped.length > 0) await folder.write(SKIPPED, lines(skipped));
}

/**
 * Checks that a resumed run has the inputs it had.
 *
 * @returns remarks on differences with which the run can go on.
 * @throws ConfigError with all other differences.
 */
export async function checkSameRun(
  point: ResumePoint,
  inputs: RunInputs,
  { files }: RunData,
): Promise<string[]> {
  const same = point.run.fingerprints.data === inputs.fingerprints.data;
  const before = same || point.runDir === null ? null : await readImages(point.runDir);
  return checkInputs(point, inputs, before === null ? null : changes(before, files));
}

/** Returns the hashes of a run's images by name; null if they cannot be read. */
async function readImages(runDir: string): Promise<Map<string, string> | null> {
  try {
    const text = await readFile(path.join(runDir, IMAGES), 'utf8');
    const files = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as DataFile);
    return new Map(files.map(({ name, sha256 }) => [name, sha256]));
  } catch {
    return null;
  }
}

function changes(before: ReadonlyMap<string, string>, files: readonly DataFile[]): string[] {
  const now = new Map(files.map(({ name, sha256 }) => [name, sha256]));
  const names = [...now.keys()];
  const kinds = {
    new: names.filter((name) => !before.has(name)),
    changed: names.filter((name) => before.has(name) && before.get(name) !== now.get(name)),
    gone: [...before.keys()].filter((name) => !now.has(name)),
  };
  return Object.entries(kinds).flatMap(([kind, list]) => {
    return list.length === 0 ? [] : [`${kind}: ${listSome(list)}`];
  });
}
