/** States as vectors: as the graphs for GPUs take them, as ranks exchange them, and as gradients are reduced. */

import type { Manifest, PackedNames } from './manifest.js';
import type { StateEntry } from './state-layout.js';
import { TrainingError, WeightsError } from '../common/errors.js';
import {
  MOMENTUM_PREFIX,
  elementCount,
  float32Tensor,
  type FloatTensors,
  type State,
  type Tensor,
} from '../common/tensor.js';

/** Names of the tensors in each packed vector, in its order. */
export type Packing = Readonly<Record<string, readonly string[]>>;

/** Returns the packing of a graph's state. `packed` is null if nothing is packed. */
export function packingOf(
  { parameters, buffers }: Pick<Manifest, 'parameters' | 'buffers'>,
  packed: PackedNames | null,
): Packing {
  if (packed === null) return {};
  const backbone = parameters.filter(({ role }) => role === 'backbone').map(({ name }) => name);
  return {
    [packed.backbone]: backbone,
    [packed.momentum]: backbone.map((name) => MOMENTUM_PREFIX + name),
    [packed.statistics]: buffers.map(({ name }) => name),
  };
}

/** Puts each packed vector together; tensors that are in none stay as they are. */
export function pack(tensors: FloatTensors, packing: Packing): FloatTensors {
  const left = { ...tensors };
  const packed: FloatTensors = {};
  for (const [name, parts] of Object.entries(packing)) {
    const arrays = parts.map((part) => {
      const tensor = left[part];
      if (tensor === undefined) throw new TrainingError(`expected the tensor ${part}, found none`);
      Reflect.deleteProperty(left, part);
      return tensor.data as Float32Array;
    });
    const whole = new Float32Array(arrays.reduce((sum, { length }) => sum + length, 0));
    let offset = 0;
    for (const array of arrays) {
      whole.set(array, offset);
      offset += array.length;
    }
    packed[name] = float32Tensor([whole.length], whole);
  }
  return { ...packed, ...left };
}

/** Takes the packed vectors apart again. @param shapeOf returns the shape of a part. */
export function unpack(
  tensors: FloatTensors,
  packing: Packing,
  shapeOf: (name: string) => readonly number[],
): FloatTensors {
  const found: Record<string, Tensor> = {};
  for (const [name, tensor] of Object.entries(tensors)) {
    const names = packing[name];
    if (names === undefined) {
      found[name] = tensor;
      continue;
    }
    const parts = names.map((part) => ({ name: part, shape: shapeOf(part) }));
    for (const [part, { shape, data }] of Object.entries(
      splitVector(tensor.data as Float32Array, parts),
    )) {
      // Memory of its own, so that a part can be given away without the others.
      found[part] = float32Tensor(shape, (data as Float32Array).slice());
    }
  }
  return found;
}

/**
 * Cuts a vector into tensors, which share its memory.
 *
 * @throws TrainingError if the shapes do not add up to the vector's length.
 */
export function splitVector(
  vector: Float32Array,
  parts: readonly { readonly name: string; readonly shape: readonly number[] }[],
): FloatTensors {
  const tensors: FloatTensors = {};
  let begin = 0;
  for (const { name, shape } of parts) {
    const end = begin + (elementCount(shape) ?? NaN);
    tensors[name] = float32Tensor(shape, vector.subarray(begin, end));
    begin = end;
  }
  if (begin === vector.length) return tensors;
  throw new TrainingError(`expected a vector of ${begin} numbers, got ${vector.length}`);
}

/** Properties of a tensor that locate it in the bytes of a state. */
export type StateShape = Pick<StateEntry, 'name' | 'dtype' | 'shape'>;

/**
 * Returns the bytes of a state's tensors one after the other; zeros if there is no state.
 *
 * @throws WeightsError if the state lacks a tensor of the layout.
 */
export function stateToBytes(
  state: State | null,
  layout: readonly StateShape[],
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(layout.reduce((sum, entry) => sum + byteLength(entry), 0));
  let begin = 0;
  for (const entry of layout) {
    const data = state?.get(entry.name)?.data;
    if (data !== undefined) {
      bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), begin);
    } else if (state !== null) {
      throw new WeightsError(`expected the tensor ${entry.name} in the state, found none`);
    }
    begin += byteLength(entry);
  }
  return bytes;
}

/** Reads the bytes that {@link stateToBytes} wrote. */
export function stateFromBytes(
  bytes: Uint8Array<ArrayBuffer>,
  layout: readonly StateShape[],
): State {
  const state: State = new Map();
  let begin = 0;
  for (const entry of layout) {
    const { buffer } = bytes.slice(begin, begin + byteLength(entry));
    const tensor: Tensor =
      entry.dtype === 'int64'
        ? { dtype: 'int64', shape: entry.shape, data: new BigInt64Array(buffer) }
        : float32Tensor(entry.shape, new Float32Array(buffer));
    state.set(entry.name, tensor);
    begin += byteLength(entry);
  }
  return state;
}

function byteLength({ dtype, shape }: StateShape): number {
  return (elementCount(shape) ?? 0) * (dtype === 'int64' ? 8 : 4);
}
