/** Checks that the values of weights are possible, so that a damaged file is not blamed on the training. */

import { WeightsError } from '../common/errors.js';
import { counted } from '../common/format.js';
import { allFinite, type Tensor } from '../common/tensor.js';
import { printable } from './contents.js';

/**
 * Checks that all tensors are finite and that no variance is negative.
 *
 * @param tensors by the file's names.
 * @param where the file, for messages.
 * @throws WeightsError with the file, the first such tensor and the number of its values.
 */
export function checkValues(tensors: ReadonlyMap<string, Tensor>, where: string): void {
  const broken = findNonFinite(tensors);
  if (broken !== null) {
    throw new WeightsError(`expected finite values in ${where}, found ${broken}; ${ADVICE}`);
  }
  for (const [name, { data }] of tensors) {
    if (!name.endsWith('running_var')) continue;
    const isNegative = (value: number): boolean => value < 0;
    const found = data instanceof Float32Array ? data.find(isNegative) : undefined;
    if (found === undefined) continue;
    throw new WeightsError(
      `expected variances of 0 or more in ${where}, found ${found} in ${printable(name)} ` +
        `${share(data, isNegative)}; ${ADVICE}`,
    );
  }
}

const ADVICE = 'use weights from before the training went wrong, or fetch the file again';

/** Returns for example `NaN in conv1.weight (3 of 9408 values)`; null if all tensors are finite. */
export function findNonFinite(tensors: ReadonlyMap<string, Tensor>): string | null {
  const broken = [...tensors].filter(([, tensor]) => !allFinite(tensor));
  const [first] = broken;
  if (first === undefined) return null;
  const [name, { data }] = first;
  const also = broken.length > 1 ? ` and in ${counted(broken.length - 1, 'more tensor')}` : '';
  const count = share(data, (value) => !Number.isFinite(value));
  return `${describeNonFinite(data)} in ${printable(name)} ${count}${also}`;
}

function describeNonFinite(data: Tensor['data']): string {
  const values = data instanceof Float32Array ? data : new Float32Array();
  const nan = values.some((value) => Number.isNaN(value));
  const infinite = values.some((value) => Math.abs(value) === Infinity);
  return nan && infinite ? 'NaN and infinity' : nan ? 'NaN' : 'infinity';
}

/** Returns for example `(3 of 9408 values)`. */
function share(data: Tensor['data'], isBad: (value: number) => boolean): string {
  let count = 0;
  for (const value of data) if (typeof value === 'number' && isBad(value)) count++;
  return `(${count} of ${data.length} values)`;
}
