/** The tensors of a training state, by the manifest, and checks that given tensors are such a state. */

import type { Initializer, Manifest } from './manifest.js';
import { WeightsError } from '../common/errors.js';
import { formatShape, MOMENTUM_PREFIX, sameShape, type Tensor } from '../common/tensor.js';

/** A tensor of the state. */
export interface StateEntry {
  readonly name: string;
  readonly dtype: 'float32' | 'int64';
  readonly shape: readonly number[];
  /** Decides the first value: momentum and counters start at zero, statistics and the backbone are loaded. */
  readonly role: 'backbone' | 'head' | 'statistics' | 'counter' | 'momentum';
  readonly init: Initializer;
}

const ZERO: Initializer = { kind: 'constant', value: 0 };

/** Lists every tensor of the state for a class count, in the manifest's order; momentum comes last. */
export function stateLayout(manifest: Manifest, classCount: number): StateEntry[] {
  const layout: StateEntry[] = manifest.parameters.map(({ name, shape, role, init }) => ({
    name,
    dtype: 'float32',
    shape: shape.map((dimension) => (dimension === 'C' ? classCount : dimension)),
    role,
    init,
  }));
  const momentum = layout.map<StateEntry>(({ name, shape }) => ({
    name: MOMENTUM_PREFIX + name,
    dtype: 'float32',
    shape,
    role: 'momentum',
    init: ZERO,
  }));
  for (const { name, shape, init } of manifest.buffers) {
    layout.push({ name, dtype: 'float32', shape, role: 'statistics', init });
  }
  for (const name of manifest.counters) {
    layout.push({ name, dtype: 'int64', shape: [], role: 'counter', init: ZERO });
  }
  return [...layout, ...momentum];
}

/**
 * Returns the tensor that a layout entry describes.
 *
 * @param where file of the tensors, for messages.
 * @throws WeightsError if it is missing, or its shape or type differs.
 */
export function requireTensor(
  tensors: ReadonlyMap<string, Tensor>,
  { name, dtype, shape }: StateEntry,
  arch: string,
  where: string,
): Tensor {
  const found = tensors.get(name);
  if (found?.dtype === dtype && sameShape(found.shape, shape)) return found;
  const description =
    found === undefined ? 'none of that name' : `${found.dtype} ${formatShape(found.shape)}`;
  throw new WeightsError(
    `expected tensor ${name} of ${dtype} ${formatShape(shape)} in ${where}, found ${description}; ` +
      `use weights of ${arch} with its publisher's names`,
  );
}
