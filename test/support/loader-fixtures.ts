/** Helpers of the loader's tests: a data set of fixtures, and ways to look at batches. */

import path from 'node:path';
import { openArtifacts } from '../../src/platform/node/defaults.js';
import type { Dataset, Sample } from '../../src/data/dataset.js';
import { nodePlatform } from '../../src/platform/node/node-platform.js';
import type { Batch } from '../../src/data/batch.js';
import { DataLoader, type LoaderOptions } from '../../src/data/data-loader.js';
import { decodeFixture, references, transformFixture } from '../parity/pixel-fixtures.js';
import { FIXTURES } from './paths.js';

export const artifacts = await openArtifacts(path.join(FIXTURES, 'tiny'));
export const PHOTOGRAPHS = ['photograph.png', 'panorama.png', 'tall.png', 'small.png'];
/** 22 images of all sizes and kinds among the fixtures. */
export const PATHS = [
  ...PHOTOGRAPHS.map(transformFixture),
  ...Object.keys(references.decode).slice(0, 18).map(decodeFixture),
];

/** Data set of files, some of which may be replaced. `reads` counts the calls of `get`. */
export class Files implements Dataset {
  readonly classes = ['a', 'b', 'c'];
  reads = 0;
  constructor(
    readonly paths: readonly string[] = PATHS,
    readonly replaced: Record<number, () => Sample | Promise<Sample>> = {},
  ) {}
  get length(): number {
    return this.paths.length;
  }
  get(index: number): Sample | Promise<Sample> {
    this.reads++;
    const replaced = this.replaced[index];
    return replaced ? replaced() : { image: this.paths[index] ?? '', label: index % 3 };
  }
}

/** Opens a loader of {@link Files}. The caller closes it, or its pool. */
export function openLoader(options: Partial<LoaderOptions>): DataLoader {
  const { images } = nodePlatform;
  const defaults = { artifacts, images, dataset: new Files(), batchSize: 4, seed: 7 };
  return new DataLoader({ ...defaults, mode: 'train', ...options });
}

export async function collect(batches: AsyncIterable<Batch>): Promise<Batch[]> {
  const all: Batch[] = [];
  for await (const batch of batches) all.push(batch);
  return all;
}
export const bytes = (batches: Batch[]): string[] =>
  batches.map(({ images }) => Buffer.from(images.buffer).toString('base64'));

/** Returns the error that a promise is rejected with. */
export async function failure(promise: Promise<unknown>): Promise<Error> {
  const error = await promise.then(
    () => new Error('nothing was thrown'),
    (error: unknown) => error as Error,
  );
  return error;
}
