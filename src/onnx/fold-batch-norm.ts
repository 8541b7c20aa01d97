/** Folds BatchNorm into the convolution before it, so that the inference model needs no BatchNorm. */

import type { FoldSpec } from '../artifacts/manifest.js';
import { WeightsError } from '../common/errors.js';
import {
  elementCount,
  float32Tensor,
  formatShape,
  sameShape,
  type State,
  type Tensor,
} from '../common/tensor.js';

/**
 * Folds each BatchNorm (gamma, beta, mean, var) into the convolution (w, b) before it, in float64:
 * w' = w * gamma / sqrt(var + eps) for each output channel, b' = beta + (b - mean) * gamma / sqrt(var + eps).
 */
export function foldedWeights(state: State, folds: readonly FoldSpec[]): Map<string, Tensor> {
  const folded = new Map<string, Tensor>();
  for (const { weight, bias, convolutionBias, batchNorm, epsilon } of folds) {
    const { shape, data } = floatTensor(state, weight);
    const channels = shape[0] ?? 0;
    const gamma = channelValues(state, batchNorm.weight, channels);
    const beta = channelValues(state, batchNorm.bias, channels);
    const mean = channelValues(state, batchNorm.mean, channels);
    const variance = channelValues(state, batchNorm.variance, channels);
    const own = convolutionBias === null ? null : channelValues(state, convolutionBias, channels);
    const perChannel = data.length / channels;
    const weights = new Float32Array(data.length);
    const biases = new Float32Array(channels);
    for (let channel = 0; channel < channels; channel++) {
      const scale = (gamma[channel] ?? 0) / Math.sqrt((variance[channel] ?? 0) + epsilon);
      const centred = (own?.[channel] ?? 0) - (mean[channel] ?? 0);
      biases[channel] = (beta[channel] ?? 0) + centred * scale;
      const end = (channel + 1) * perChannel;
      for (let i = end - perChannel; i < end; i++) weights[i] = (data[i] ?? 0) * scale;
    }
    folded.set(weight, float32Tensor(shape, weights));
    folded.set(bias, float32Tensor([channels], biases));
  }
  return folded;
}

/**
 * Returns a float32 tensor of the state.
 *
 * @throws WeightsError if there is none of that name, or it has another type.
 */
export function floatTensor(state: State, name: string): Tensor & { readonly data: Float32Array } {
  const tensor = state.get(name);
  if (tensor?.dtype !== 'float32' || elementCount(tensor.shape) !== tensor.data.length) {
    throw new WeightsError(
      `expected float32 tensor ${name} in the state, found ${tensor === undefined ? 'none' : 'another'}; use a checkpoint of these artifacts`,
    );
  }
  return { ...tensor, data: tensor.data as Float32Array };
}

function channelValues(state: State, name: string, channels: number): Float32Array {
  const { shape, data } = floatTensor(state, name);
  if (sameShape(shape, [channels])) return data;
  throw shapeError(name, [channels], shape);
}

export function shapeError(
  name: string,
  expected: readonly (number | string)[],
  found: readonly number[],
): WeightsError {
  return new WeightsError(
    `expected tensor ${name} of shape ${formatShape(expected)}, found ${formatShape(found)}; use a checkpoint of these artifacts and classes`,
  );
}
