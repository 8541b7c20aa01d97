/**
 * Computes a part of a resized image without the rest. The filters are those of Pillow's antialiased resize, so the
 * pixels are exactly Pillow's: a triangle or a cubic that widens with the scale, along one axis and then the other,
 * rounded and clipped after each.
 */

import type { Preprocessing } from '../artifacts/manifest.js';
import type { RgbImage } from '../platform/platform.js';
import type { Box } from './transforms.js';

/** Name of a filter. */
export type Interpolation = Preprocessing['interpolation'];

interface Filter {
  /** Distance from the centre from which on all weights are 0, in source pixels when the image is enlarged. */
  readonly support: number;
  /** Returns the weight at a distance of at least 0. */
  readonly weight: (distance: number) => number;
}

const FILTERS: Readonly<Record<Interpolation, Filter>> = {
  bilinear: { support: 1, weight: (x) => Math.max(1 - x, 0) },
  bicubic: { support: 2, weight: cubic },
};

/** The cubic convolution kernel of Keys (1981) with his a = -1/2, in Pillow's order of operations. */
function cubic(x: number): number {
  const a = -0.5;
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/** Fixed-point precision of Pillow's weights. */
const BITS = 22;
const CHANNELS = 3;

export interface Resample {
  readonly interpolation: Interpolation;
  /** Part of the image that is resized. */
  readonly box: Box;
  /** Size that the box would get. */
  readonly width: number;
  readonly height: number;
  /** Part of the resized box to compute. */
  readonly window: Box;
}

/** Returns the window's pixels. The time and memory it takes depend on the pixels under the window alone. */
export function resample(
  image: RgbImage,
  { interpolation, box, width, height, window }: Resample,
): RgbImage {
  const filter = FILTERS[interpolation];
  const columns = axisTaps(filter, {
    ...{ from: box.width, to: width },
    ...{ start: window.left, count: window.width },
  });
  const rows = axisTaps(filter, {
    ...{ from: box.height, to: height },
    ...{ start: window.top, count: window.height },
  });
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

/** The pixels `start` to `start + count` of an axis that is resized from `from` pixels to `to`. */
interface Axis {
  readonly from: number;
  readonly to: number;
  readonly start: number;
  readonly count: number;
}

/** Computes Pillow's weights, in Pillow's order of operations. */
function axisTaps(filter: Filter, { from, to, start, count }: Axis): Taps {
  const scale = from / to;
  const widening = Math.max(scale, 1);
  const support = filter.support * widening;
  const inverse = 1 / widening;
  const pixels = Array.from({ length: count }, (_, i) => {
    const centre = (start + i + 0.5) * scale;
    const low = Math.max(Math.trunc(centre - support + 0.5), 0);
    const high = Math.min(Math.trunc(centre + support + 0.5), from);
    const weights = Float64Array.from({ length: high - low }, (_, x) =>
      filter.weight(Math.abs((x + low - centre + 0.5) * inverse)),
    );
    const sum = weights.reduce((a, b) => a + b, 0);
    const fixed = Int32Array.from(weights, (weight) => {
      const share = (weight / sum) * 2 ** BITS;
      // Halves are rounded away from zero.
      return Math.trunc(share < 0 ? share - 0.5 : share + 0.5);
    });
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
  target[to] = level(red);
  target[to + 1] = level(green);
  target[to + 2] = level(blue);
}

/** Clips a sum: the weights' rounding may lift whites above 255, and a cubic overshoots at edges. */
function level(sum: number): number {
  return Math.min(Math.max(sum >> BITS, 0), 255);
}
