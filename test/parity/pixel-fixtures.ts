/** Reads the fixtures that scripts/fixtures/pixels.py makes with Pillow and torchvision. */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Interpolation } from '../../src/images/resample.js';
import type { Box } from '../../src/images/transforms.js';
import type { GraphRun } from '../support/preprocess-worker.js';
import { FIXTURES } from '../support/paths.js';

const PIXELS = path.join(FIXTURES, 'pixels');

export interface TransformCase {
  readonly image: string;
  /** Side of the result in pixels: 32 or 224. */
  readonly size: number;
  readonly interpolation: Interpolation;
  /** Top, left, height and width. Without it the case tests the evaluation transform. */
  readonly box?: readonly [number, number, number, number];
  readonly flip?: boolean;
  /** uint8 [S', S', 3] in base64, S' = size / stride: every stride-th pixel of torchvision's result. */
  readonly levels: string;
}

/** Evaluation's crop of a thin image, see `thin_levels` of scripts/fixtures/thin_images.py. */
export interface ThinCase {
  readonly width: number;
  readonly height: number;
  readonly size: number;
  readonly interpolation: Interpolation;
  /** As {@link TransformCase.levels}. */
  readonly levels: string;
}

interface References {
  readonly stride: Readonly<Record<string, number>>;
  readonly decode: Readonly<Record<string, { width: number; height: number; rgb: string }>>;
  readonly transforms: readonly TransformCase[];
  readonly thin: readonly ThinCase[];
}

export const references = JSON.parse(
  readFileSync(path.join(PIXELS, 'references.json'), 'utf8'),
) as References;

export const decodeFixture = (name: string): string => path.join(PIXELS, 'decode', name);
export const transformFixture = (name: string): string => path.join(PIXELS, 'transforms', name);

/** A bicubic preprocessing graph of scripts/fixtures/transforms.py, for pixels of mean and deviation 0.5. */
export const bicubicGraph = (mode: 'train' | 'evaluate', size: number): Uint8Array =>
  readFileSync(path.join(PIXELS, 'bicubic', `${mode}-${size}.onnx`));

/** Converts normalised pixels, float32 [3,S,S], back to levels: every `stride`-th pixel, [S',S',3]. */
export function toLevels(
  pixels: Float32Array,
  size: number,
  stride: number,
  { mean, std }: { readonly mean: readonly number[]; readonly std: readonly number[] },
): number[] {
  const levels: number[] = [];
  for (let y = 0; y < size; y += stride) {
    for (let x = 0; x < size; x += stride) {
      for (let c = 0; c < 3; c++) {
        const value = pixels[(c * size + y) * size + x] ?? NaN;
        levels.push((value * (std[c] ?? NaN) + (mean[c] ?? NaN)) * 255);
      }
    }
  }
  return levels;
}

/** Runs preprocessing graphs on images, in a worker thread, as ONNX Runtime does not work under jest. */
export async function runGraphs(runs: readonly GraphRun[]): Promise<Float32Array[]> {
  const worker = new Worker(new URL('../support/preprocess-worker.js', import.meta.url), {
    workerData: runs,
    execArgv: [],
  });
  return new Promise((resolve, reject) => {
    let results: Float32Array[] | null = null;
    worker.once('message', (message: Float32Array[]) => {
      results = message;
    });
    worker.once('error', reject);
    worker.once('exit', () => {
      if (results) resolve(results);
      else reject(new Error('the preprocessing thread gave no result'));
    });
  });
}

export function toCorners({ top, left, height, width }: Box): [number, number, number, number] {
  return [top, left, height, width];
}
