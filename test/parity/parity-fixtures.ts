/** The fixtures of scripts/parity: what PyTorch and torchvision gave, and how far something is from it. */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Manifest } from '../../src/artifacts/manifest.js';
import { Philox, STREAM } from '../../src/common/philox.js';
import type { State } from '../../src/common/tensor.js';
import { FIXTURES } from '../support/paths.js';

export const PARITY = path.join(FIXTURES, 'parity');

/** A tensor's norm, then its random projections. */
export type Projected = readonly number[];
/** By tensor name. */
export type References = Readonly<Record<string, Projected>>;

export interface PixelFixture {
  readonly stride: number;
  /** Of the training crops. */
  readonly seed: number;
  readonly epoch: number;
  readonly images: readonly {
    readonly file: string;
    /** uint8 [S', S', 3] in base64, S' = 224 / stride. */
    readonly evaluated: string;
    readonly cropped: string;
    /** top, left, height, width, flip. */
    readonly crop: readonly number[];
  }[];
}

export interface StepCase {
  readonly seed: number;
  readonly classes: number;
  readonly batch: number;
  readonly weightDecay: number;
  readonly loss: number;
  readonly gradients: References;
  readonly statistics: References;
}

/** References are PyTorch's in float64. */
export interface StepFixture {
  /** PyTorch float32's own relative error of the whole gradient, median over its seeds. */
  readonly torchError: number;
  readonly cases: readonly StepCase[];
}

/** steps.json. */
export interface Steps {
  readonly lr: number;
  readonly tiny: StepFixture;
  readonly resnet18: StepFixture;
}

/** Relative distances of twenty steps from PyTorch float64. */
export interface Distance {
  readonly losses: number;
  /** Relative to the way the weights went. */
  readonly weights: number;
  readonly statistics: number;
}

export interface TrajectoryCase {
  readonly seed: number;
  readonly losses: readonly number[];
  /** Of the way from the initial to the last state. */
  readonly weights: References;
  readonly statistics: References;
  /** Of the way of the running statistics in the first epoch. */
  readonly firstEpoch: References;
}

export interface TrajectoryFixture {
  readonly classes: number;
  readonly imagesPerClass: number;
  readonly batch: number;
  readonly epochs: number;
  readonly lr: number;
  readonly gamma: number;
  /** PyTorch float32's own, median over the seeds. */
  readonly torchDistance: Distance;
  readonly cases: readonly TrajectoryCase[];
}

/** Of the tiny network in tiny.safetensors, on the samples' validation images. */
export interface EvaluationFixture {
  /** [N, 2], from the loader's pixels. */
  readonly logits: readonly (readonly number[])[];
  /** From torchvision's own pixels. */
  readonly torchvisionTop: readonly number[];
  readonly torchvisionAccuracy: number;
}

export function readFixture(name: string): unknown {
  return JSON.parse(readFileSync(path.join(PARITY, name), 'utf8'));
}

/** Row-major values of a tensor. */
type Values = ArrayLike<number>;

/**
 * Estimated norm of the difference between tensors and references, relative to the references' norm.
 *
 * For a vector d and random signs r the mean of (r·d)² is |d|², so that projections tell how far apart
 * two tensors are. Four projections of each of dozens of tensors make the sum's own error small.
 */
export function relativeDistance(
  manifest: Manifest,
  references: References,
  values: (name: string) => Values,
): number {
  const entries = [...manifest.parameters, ...manifest.buffers].map(({ name }) => name);
  let apart = 0;
  let norm = 0;
  for (const [name, [expectedNorm = NaN, ...expected]] of Object.entries(references)) {
    const tensor = values(name);
    const number = entries.indexOf(name);
    const squares = expected.map(
      (projection, index) => (project(tensor, index, number) - projection) ** 2,
    );
    apart += squares.reduce((a, b) => a + b, 0) / squares.length;
    norm += expectedNorm ** 2;
  }
  return Math.sqrt(apart / norm);
}

/** Sum of the values with random signs: element i has + if bit i mod 32 of draw i / 32 is set. */
function project(values: Values, projection: number, tensor: number): number {
  const random = new Philox(0, STREAM.trial, projection, tensor);
  let sum = 0;
  let bits = 0;
  for (let i = 0; i < values.length; i++) {
    bits = i % 32 === 0 ? random.nextUint32() : bits >>> 1;
    const value = values[i] ?? NaN;
    sum += (bits & 1) === 1 ? value : -value;
  }
  return sum;
}

/** Normal pixels [count, 3, size, size], the same that Python draws. */
export function randomImages(count: number, size: number, seed: number): Float32Array<ArrayBuffer> {
  const random = new Philox(seed, STREAM.trial, 1000);
  return Float32Array.from({ length: count * 3 * size * size }, () => random.normal());
}

/** A tensor's values. */
export function valuesOf(state: State, name: string): Float32Array {
  return (state.get(name)?.data ?? new Float32Array()) as Float32Array;
}

/** Where a tensor went, in float64. */
export function way(start: State, end: State): (name: string) => Float64Array {
  return (name) => {
    const from = valuesOf(start, name);
    return Float64Array.from(valuesOf(end, name), (value, i) => value - (from[i] ?? NaN));
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)] ?? NaN;
  return Number.isInteger(middle) ? ((sorted[middle - 1] ?? NaN) + upper) / 2 : upper;
}

export function largestDifference(a: Values, b: Values): number {
  if (a.length !== b.length) return Infinity;
  return Math.max(...Array.from(a, (value, i) => Math.abs(value - (b[i] ?? NaN))));
}
