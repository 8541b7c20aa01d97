/** Random part of the training transforms: the crop of an image, and whether it is mirrored. */

import type { Philox } from '../common/philox.js';
import { roundHalfEven } from '../common/rounding.js';

/** A crop in pixels, not empty and inside the image. */
export interface Box {
  readonly top: number;
  readonly left: number;
  readonly height: number;
  readonly width: number;
}

/** Ranges that a crop is drawn from. */
export interface CropRanges {
  /** Range of the crop's area as a share of the image's area. */
  readonly scale: readonly [number, number];
  /** Range of the crop's width / height. */
  readonly ratio: readonly [number, number];
}

/** Default ranges of torchvision's `RandomResizedCrop`. */
export const DEFAULT_CROP: CropRanges = { scale: [0.08, 1], ratio: [3 / 4, 4 / 3] };

const TRIES = 10;

/**
 * Draws a crop as torchvision's `RandomResizedCrop.get_params` does: an area uniform in `scale` and an aspect ratio
 * log-uniform in `ratio`, at most ten times until the crop fits. If none fits, returns the largest centre crop whose
 * aspect ratio is in `ratio`.
 */
export function randomResizedCropBox(
  width: number,
  height: number,
  { scale, ratio }: CropRanges,
  random: Philox,
): Box {
  const logRatio = [Math.log(ratio[0]), Math.log(ratio[1])] as const;
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const area = width * height * between(scale, random.uniform());
    const aspect = Math.exp(between(logRatio, random.uniform()));
    const w = roundHalfEven(Math.sqrt(area * aspect));
    const h = roundHalfEven(Math.sqrt(area / aspect));
    if (w > 0 && w <= width && h > 0 && h <= height) {
      const top = random.below(height - h + 1);
      const left = random.below(width - w + 1);
      return { top, left, height: h, width: w };
    }
  }
  return centreCropBox(width, height, ratio);
}

/** Returns the largest centred crop whose aspect ratio is within `ratio`. */
function centreCropBox(width: number, height: number, ratio: CropRanges['ratio']): Box {
  const aspect = width / height;
  let w = width;
  let h = height;
  if (aspect < ratio[0]) h = roundHalfEven(w / ratio[0]);
  else if (aspect > ratio[1]) w = roundHalfEven(h * ratio[1]);
  // A side of one or two pixels could round to 0, or to more than the image.
  w = Math.min(Math.max(w, 1), width);
  h = Math.min(Math.max(h, 1), height);
  return {
    top: Math.floor((height - h) / 2),
    left: Math.floor((width - w) / 2),
    height: h,
    width: w,
  };
}

/** Draws whether to mirror an image, as torchvision's `RandomHorizontalFlip` does. */
export function randomFlip(probability: number, random: Philox): boolean {
  return random.uniform() < probability;
}

function between([low, high]: readonly [number, number], share: number): number {
  return low + (high - low) * share;
}
