/** Random masks of Dropout and stochastic depth, one row per image. */

import type { MasksSpec } from '../artifacts/manifest.js';
import { Philox, STREAM } from '../common/philox.js';

/** The images of a batch in an epoch. */
export interface MaskedBatch {
  readonly seed: number;
  /** 0, 1, 2, ... */
  readonly epoch: number;
  /** Indices of the samples in the data set. */
  readonly indices: Uint32Array;
}

const TWO_32 = 2 ** 32;

/**
 * Draws the input `masks` [N, width] of a training graph: 0 with the probability p of the entry, else 1 / (1 - p), as
 * torch.nn.Dropout and torchvision's StochasticDepth scale.
 *
 * Column c of an image is draw c of Philox (seed, masks, epoch, sample). So a row depends on neither the batch, the
 * rank nor the call that the image is in, and a resumed run draws what the run would have drawn.
 */
export function drawMasks(
  { width, entries }: MasksSpec,
  { seed, epoch, indices }: MaskedBatch,
): Float32Array<ArrayBuffer> {
  const masks = new Float32Array(indices.length * width);
  const { thresholds, kept } = columns(width, entries);
  for (const [row, index] of indices.entries()) {
    const random = new Philox(seed, STREAM.masks, epoch, index);
    const begin = row * width;
    for (let column = 0; column < width; column++) {
      const isKept = random.nextUint32() >= (thresholds[column] ?? 0);
      masks[begin + column] = isKept ? (kept[column] ?? 1) : 0;
    }
  }
  return masks;
}

/** Returns of each column the smallest draw that keeps its value, and the factor of a value that is kept. */
function columns(
  width: number,
  entries: MasksSpec['entries'],
): { readonly thresholds: Float64Array; readonly kept: Float32Array } {
  const thresholds = new Float64Array(width);
  const kept = new Float32Array(width).fill(1);
  for (const { offset, width: own, p } of entries) {
    thresholds.fill(p * TWO_32, offset, offset + own);
    kept.fill(p < 1 ? 1 / (1 - p) : 0, offset, offset + own);
  }
  return { thresholds, kept };
}
