/** Which images a run is trained on, as files of its folder; and whether a resumed run still has them. */

import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { ImageFolder } from '../data/image-folder.js';
import type { DataFile } from '../data/dataset.js';
import type { RunData } from '../data/open-datasets.js';
import { sampleNames } from '../data/image-folder.js';
import type { ResumePoint } from './resume-point.js';
import { checkInputs, type RunInputs } from './resume-settings.js';
import type { RunFolder } from './run-folder.js';
import { listSome } from '../common/format.js';

/** A line for each image: its split and path below it, and the SHA-256 of its bytes. */
const IMAGES = 'images.jsonl';
/** Where there was no `val` folder: the images taken for validation, a path in the folder on each line. */
const VALIDATION = 'validation.txt';
/** A line for each broken image that is left out: its path and the reason. */
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

/** @throws ConfigError listing how the inputs of a resumed run differ from what they were. */
export async function checkSameRun(
  point: ResumePoint,
  inputs: RunInputs,
  { files }: RunData,
): Promise<void> {
  const same = point.run.fingerprints.data === inputs.fingerprints.data;
  const before = same || point.runDir === null ? null : await readImages(point.runDir);
  checkInputs(point, inputs, before === null ? null : changes(before, files));
}

/** By name; null if it is not known. */
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
