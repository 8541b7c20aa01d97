/** The state as the graphs for GPUs take it: many tensors in a few vectors. */

import type { Manifest, PackedNames } from './manifest.js';
import { TrainingError } from '../common/errors.js';
import type { FloatTensors } from '../common/tensor.js';
import { MOMENTUM_PREFIX, elementCount, float32Tensor, type Tensor } from '../common/tensor.js';

/** What each packed vector holds, in its order. */
export type Packing = Readonly<Record<string, readonly string[]>>;

/** The packing of a graph's state; `packed` is null where nothing is packed. */
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

/** The reverse. @param shapeOf shape of a part. */
export function unpack(
  tensors: FloatTensors,
  packing: Packing,
  shapeOf: (name: string) => readonly number[],
): FloatTensors {
  const found: Record<string, Tensor> = {};
  for (const [name, tensor] of Object.entries(tensors)) {
    const parts = packing[name];
    if (parts === undefined) {
      found[name] = tensor;
      continue;
    }
    let offset = 0;
    for (const part of parts) {
      const shape = shapeOf(part);
      const end = offset + (elementCount(shape) ?? NaN);
      found[part] = float32Tensor(shape, (tensor.data as Float32Array).slice(offset, end));
      offset = end;
    }
  }
  return found;
}
