/**
 * Makes an image fit the preprocessing graphs, which resize it whole: one that is thin, or has very many pixels, would
 * take gigabytes there. Such an image is resized here, and only where the crop will be. The graph gets the result, of
 * the size to which it would resize, and so leaves its pixels as they are.
 */

import type { RgbImage } from '../../platform/platform.js';
import { roundHalfEven } from '../../common/rounding.js';
import { GRAPH_BYTES } from '../limits.js';
import { isHeightFirst, resample, type Interpolation } from '../resample.js';
import type { Box } from '../transforms.js';

/** Settings of training's transforms. */
export interface TrainingTransforms {
  /** Side of the network's square input, in pixels. */
  readonly inputSize: number;
  readonly interpolation: Interpolation;
}

/** Settings of evaluation's transforms. */
export interface EvaluationTransforms extends TrainingTransforms {
  /** Length that the shorter side is resized to before the centre crop, in pixels; not less than `inputSize`. */
  readonly resizeSize: number;
}

type Size = Readonly<Record<'width' | 'height', number>>;

/** Estimates the memory in bytes that a graph takes to resize a box, the image included. */
function graphBytes(image: Size, box: Size, to: Size): number {
  const copied = { width: box.width, height: isHeightFirst(box, to) ? to.height : box.height };
  const pixels = ({ width, height }: Size): number => width * height;
  const crop = box === image ? 0 : pixels(box);
  const between = to.width * copied.height;
  return 3 * (pixels(image) + crop + pixels(copied) + between + pixels(to));
}

/** Returns the size that evaluation resizes an image to, before the crop. */
function resizedSize({ width, height }: Size, resizeSize: number): Size {
  const short = Math.min(width, height);
  const resize = (side: number): number => Math.floor((side * resizeSize) / short);
  return { width: resize(width), height: resize(height) };
}

/** Returns an image from which the evaluation graph makes the same pixels, and which it can afford. */
export function fitEvaluation(
  image: RgbImage,
  { inputSize, resizeSize, interpolation }: EvaluationTransforms,
): RgbImage {
  const to = resizedSize(image, resizeSize);
  if (graphBytes(image, image, to) <= GRAPH_BYTES) return image;
  // The graph will crop the centre of this square, at an offset of its own rounding.
  const corner = (side: number): number => roundHalfEven((side - inputSize) / 2);
  const start = (side: number): number => corner(side) - corner(resizeSize);
  const window = {
    ...{ top: start(to.height), left: start(to.width) },
    ...{ width: resizeSize, height: resizeSize },
  };
  const box = { top: 0, left: 0, width: image.width, height: image.height };
  return resample(image, { interpolation, box, ...to, window });
}

/** An image and the crop that the training graph is to take from it. */
export interface Cropped {
  readonly image: RgbImage;
  readonly box: Box;
}

/** Returns an image and a crop from which the training graph makes the same pixels, and which it can afford. */
export function fitTraining(
  { image, box }: Cropped,
  { inputSize, interpolation }: TrainingTransforms,
): Cropped {
  const to = { width: inputSize, height: inputSize };
  if (graphBytes(image, box, to) <= GRAPH_BYTES) return { image, box };
  const window = { top: 0, left: 0, ...to };
  return { image: resample(image, { interpolation, box, ...to, window }), box: window };
}
