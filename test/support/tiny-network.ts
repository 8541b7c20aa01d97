/** The tiny network of the fixtures, and small coloured images that it can learn. */

import sharp from 'sharp';
import type { Dataset, Sample } from '../../src/data/dataset.js';
import { targetRows } from '../../src/train/loss-targets.js';
import { Philox } from '../../src/common/philox.js';
import type { StackedBatches } from '../../src/session/train-session.js';

export const INPUT_SIZE = 32;
const HUES = [
  [200, 60, 60],
  [60, 60, 200],
  [60, 200, 60],
] as const;

/** Returns K batches of N random images and labels. */
export function randomChunk(
  options: { steps: number; batchSize: number; classes: number; seed?: number } & Partial<
    Pick<StackedBatches, 'momentum' | 'weightDecay'> & { lr: number; headLr: number }
  >,
): StackedBatches & { labels: Int32Array } {
  const { steps, batchSize, classes, lr = 0.01, headLr = lr } = options;
  const random = new Philox(options.seed ?? 0, 100);
  const count = steps * batchSize;
  const labels = Int32Array.from({ length: count }, () => random.below(classes));
  const targets = new Float32Array(count * classes);
  for (let k = 0; k < steps; k++) {
    const rows = targetRows(labels.slice(k * batchSize, (k + 1) * batchSize), classes);
    targets.set(rows, k * rows.length);
  }
  return {
    steps,
    batchSize,
    images: Float32Array.from({ length: count * 3 * INPUT_SIZE ** 2 }, () => random.normal()),
    targets,
    labels,
    lr: new Float32Array(steps).fill(lr),
    headLr: new Float32Array(steps).fill(headLr),
    momentum: options.momentum ?? 0.9,
    weightDecay: options.weightDecay ?? 0,
  };
}

/** Returns an image as PNG bytes: noise around the class's colour. */
export async function coloured(label: number, seed: number, side = 40): Promise<Uint8Array> {
  const random = new Philox(seed, 101);
  const [r, g, b] = HUES[label] ?? HUES[0];
  const pixels = new Uint8Array(side * side * 3);
  for (let i = 0; i < pixels.length; i++) {
    pixels[i] = [r, g, b][i % 3] ?? 0;
    pixels[i] = (pixels[i] ?? 0) - 40 + random.below(80);
  }
  const raw = { width: side, height: side, channels: 3 } as const;
  return sharp(pixels, { raw }).png().toBuffer();
}

/** A data set in memory: `count` images, whose classes alternate. */
export class Colours implements Dataset {
  readonly #images = new Map<number, Promise<Uint8Array>>();

  constructor(
    readonly length: number,
    readonly classes: readonly string[],
    readonly seed: number,
  ) {}

  async get(index: number): Promise<Sample> {
    const label = index % this.classes.length;
    const image = this.#images.get(index) ?? coloured(label, this.seed * 1000 + index);
    this.#images.set(index, image);
    return { image: await image, label };
  }
}
