/** Reads the fixtures of scripts/parity (results of PyTorch and torchvision) and measures distances from them. */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Manifest } from '../../src/artifacts/manifest.js';
import { Philox, STREAM } from '../../src/common/philox.js';
import type { State } from '../../src/common/tensor.js';
import { FIXTURES } from '../support/paths.js';

export const PARITY = path.join(FIXTURES, 'parity');

/** Norm of a tensor, then its random projections. */
export type Projected = readonly number[];
/** Projections by tensor name. */
export type References = Readonly<Record<string, Projected>>;

export interface PixelFixture {
  readonly stride: number;
  /** Seed of the training crops. */
  readonly seed: number;
  readonly epoch: number;
  readonly images: readonly {
    readonly file: string;
    /** uint8 [S', S', 3] in base64, S' = 224 / stride. */
    readonly evaluated: string;
    readonly cropped: string;
    /** Top, left, height, width, flip. */
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

/** A step in PyTorch, float64. */
export interface StepFixture {
  /** Relative error of PyTorch's float32 gradient, median over the seeds. */
  readonly torchError: number;
  readonly cases: readonly StepCase[];
}

/** Contents of steps.json. */
export interface Steps {
  readonly lr: number;
  readonly tiny: StepFixture;
  readonly resnet18: StepFixture;
}

/** Relative distances of twenty steps from PyTorch in float64. */
export interface Distance {
  readonly losses: number;
  /** Distance relative to how far the weights moved. */
  readonly weights: number;
  readonly statistics: number;
}

export interface TrajectoryCase {
  readonly seed: number;
  readonly losses: readonly number[];
  /** Projections of the difference between the last and the initial state. */
  readonly weights: References;
  readonly statistics: References;
  /** Projections of the change of the running statistics in the first epoch. */
  readonly firstEpoch: References;
}

export interface TrajectoryFixture {
  readonly classes: number;
  readonly imagesPerClass: number;
  readonly batch: number;
  readonly epochs: number;
  readonly lr: number;
  readonly gamma: number;
  /** Distance of PyTorch in float32, median over the seeds. */
  readonly torchDistance: Distance;
  readonly cases: readonly TrajectoryCase[];
}

/** Results of the tiny network in tiny.safetensors on the samples' validation images. */
export interface EvaluationFixture {
  /** [N, 2], computed from the loader's pixels. */
  readonly logits: readonly (readonly number[])[];
  /** Top classes, computed from torchvision's own pixels. */
  readonly torchvisionTop: readonly number[];
  readonly torchvisionAccuracy: number;
}

export function readFixture(name: string): unknown {
  return JSON.parse(readFileSync(path.join(PARITY, name), 'utf8'));
}

/** Values of a tensor in row-major order. */
type Values = ArrayLike<number>;

/**
 * Estimates the norm of the difference between tensors and references, relative to the references' norm.
 *
 * For a vector d and random signs r, the mean of (r·d)² is |d|²; so projections show how far apart two tensors
 * are. There are four projections for each of dozens of tensors, which keeps the error of the sum small.
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

/** Sums the values with random signs: element i has + if bit i mod 32 of draw i / 32 is set. */
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

/** Draws normal pixels [count, 3, size, size], which equal those that Python draws. */
export function randomImages(count: number, size: number, seed: number): Float32Array<ArrayBuffer> {
  const random = new Philox(seed, STREAM.trial, 1000);
  return Float32Array.from({ length: count * 3 * size * size }, () => random.normal());
}

/** Returns the values of a tensor. */
export function valuesOf(state: State, name: string): Float32Array {
  return (state.get(name)?.data ?? new Float32Array()) as Float32Array;
}

/** Returns a function that gives the change of a tensor, in float64. */
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
