/**
 * Computes a part of a resized image without the rest. The filter is that of Pillow's antialiased bilinear resize, so
 * the pixels are exactly Pillow's: a triangle as wide as the scale, along one axis and then the other, rounded after
 * each.
 */

import type { RgbImage } from '../platform/platform.js';
import type { Box } from './transforms.js';

/** Fixed-point precision of Pillow's weights. */
const BITS = 22;
const CHANNELS = 3;

export interface Resample {
  /** Part of the image that is resized. */
  readonly box: Box;
  /** Size that the box would get. */
  readonly width: number;
  readonly height: number;
  /** Part of the resized box to compute. */
  readonly window: Box;
}

/** Returns the window's pixels. The time and memory it takes depend on the pixels under the window alone. */
export function resample(image: RgbImage, { box, width, height, window }: Resample): RgbImage {
  const columns = axisTaps(box.width, width, window.left, window.width);
  const rows = axisTaps(box.height, height, window.top, window.height);
  const source: Plane = {
    data: image.data,
    width: image.width,
    top: box.top + rows.first,
    left: box.left + columns.first,
    rows: rows.length,
    columns: columns.length,
  };
  const result = isHeightFirst(box, { width, height })
    ? filterColumns(filterRows(source, rows), columns)
    : filterRows(filterColumns(source, columns), rows);
  return { data: result.data, width: window.width, height: window.height };
}

interface Size {
  readonly width: number;
  readonly height: number;
}

/** Whether Pillow, from version 13 on, filters along the height first. The preprocessing graphs do, too. */
export function isHeightFirst(from: Size, to: Size): boolean {
  return from.height - to.height > Math.max(2 * (from.width - to.width), 0);
}

/** A rectangle of an image. */
interface Plane {
  readonly data: Uint8Array;
  /** Pixels per row of `data`. */
  readonly width: number;
  readonly top: number;
  readonly left: number;
  readonly rows: number;
  readonly columns: number;
}

/** Which source pixels make each pixel along an axis, and with which weights. */
interface Taps {
  /** First source pixel of all. */
  readonly first: number;
  /** Number of source pixels of all. */
  readonly length: number;
  readonly pixels: readonly { readonly from: number; readonly weights: Int32Array }[];
}

/** Computes Pillow's weights for the pixels `start` to `start + count` of an axis. */
function axisTaps(from: number, to: number, start: number, count: number): Taps {
  const scale = from / to;
  const support = Math.max(scale, 1);
  const pixels = Array.from({ length: count }, (_, i) => {
    const centre = (start + i + 0.5) * scale;
    const low = Math.max(Math.trunc(centre - support + 0.5), 0);
    const high = Math.min(Math.trunc(centre + support + 0.5), from);
    const weights = Float64Array.from({ length: high - low }, (_, x) => {
      const distance = Math.abs((x + low - centre + 0.5) / support);
      return Math.max(1 - distance, 0);
    });
    const sum = weights.reduce((a, b) => a + b, 0);
    // Weights are not negative, so adding a half rounds them.
    const fixed = Int32Array.from(weights, (w) => Math.trunc(0.5 + (w / sum) * 2 ** BITS));
    return { from: low, weights: fixed };
  });
  const first = Math.min(...pixels.map((pixel) => pixel.from));
  const last = Math.max(...pixels.map((pixel) => pixel.from + pixel.weights.length));
  const relative = pixels.map(({ from: low, weights }) => ({ from: low - first, weights }));
  return { first, length: last - first, pixels: relative };
}

/** Filters along the width. */
function filterColumns(plane: Plane, taps: Taps): Plane {
  const { data, width, top, left, rows } = plane;
  const columns = taps.pixels.length;
  const result = new Uint8Array(rows * columns * CHANNELS);
  let to = 0;
  for (let y = 0; y < rows; y++) {
    const row = (top + y) * width + left;
    for (const { from, weights } of taps.pixels) {
      sumTaps({ data, at: (row + from) * CHANNELS, step: CHANNELS }, weights, result, to);
      to += CHANNELS;
    }
  }
  return { data: result, width: columns, top: 0, left: 0, rows, columns };
}

/** Filters along the height. */
function filterRows(plane: Plane, taps: Taps): Plane {
  const { data, width, top, left, columns } = plane;
  const rows = taps.pixels.length;
  const result = new Uint8Array(rows * columns * CHANNELS);
  let to = 0;
  for (const { from, weights } of taps.pixels) {
    const row = (top + from) * width + left;
    for (let x = 0; x < columns; x++) {
      sumTaps({ data, at: (row + x) * CHANNELS, step: width * CHANNELS }, weights, result, to);
      to += CHANNELS;
    }
  }
  return { data: result, width: columns, top: 0, left: 0, rows, columns };
}

/** Adds up weighted pixels, `step` bytes apart, into one pixel. */
function sumTaps(
  source: { readonly data: Uint8Array; readonly at: number; readonly step: number },
  weights: Int32Array,
  target: Uint8Array,
  to: number,
): void {
  const { data, step } = source;
  let { at } = source;
  let [red, green, blue] = [2 ** (BITS - 1), 2 ** (BITS - 1), 2 ** (BITS - 1)];
  for (const weight of weights) {
    red += (data[at] ?? 0) * weight;
    green += (data[at + 1] ?? 0) * weight;
    blue += (data[at + 2] ?? 0) * weight;
    at += step;
  }
  // The weights' rounding may lift a sum of whites above 255.
  target[to] = Math.min(red >> BITS, 255);
  target[to + 1] = Math.min(green >> BITS, 255);
  target[to + 2] = Math.min(blue >> BITS, 255);
}
