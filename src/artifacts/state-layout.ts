/** Which tensors the training state has, by the manifest, and whether a given set of tensors is such a state. */

import type { Initializer, Manifest } from './manifest.js';
import { WeightsError } from '../common/errors.js';
import { formatShape, MOMENTUM_PREFIX, sameShape, type Tensor } from '../common/tensor.js';

export interface StateEntry {
  readonly name: string;
  readonly dtype: 'float32' | 'int64';
  readonly shape: readonly number[];
  /** How it starts. Momentum and counters are zero, BatchNorm statistics are not learned but loaded. */
  readonly role: 'backbone' | 'head' | 'statistics' | 'counter' | 'momentum';
  readonly init: Initializer;
}

const ZERO: Initializer = { kind: 'constant', value: 0 };

/** Every tensor of the state for a class count, in the manifest's order; momentum last. */
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
 * The tensor a layout entry asks for.
 *
 * @param where the file it is looked up in, for messages.
 * @throws WeightsError if it is missing, or its shape or type differs; all are named.
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
      `use weights of ${arch} with torchvision's names`,
  );
}
