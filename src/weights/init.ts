/** Initialises fresh tensors as torchvision does, from a seed. */

import type { Initializer } from '../artifacts/manifest.js';
import type { Philox } from '../common/philox.js';

/**
 * Returns the elements of a fresh tensor.
 *
 * - `kaiming_normal_fan_out`: normal, mean 0, standard deviation sqrt(2 / fanOut) (He et al. 2015, for ReLU).
 * - `uniform`: between -bound and bound; for a linear layer PyTorch's bound is 1 / sqrt(fan in).
 * - `constant`: BatchNorm's ones and zeros.
 *
 * The numbers come from `random`: they have PyTorch's distribution, but are not PyTorch's numbers.
 */
export function initialize(init: Initializer, count: number, random: Philox): Float32Array {
  const values = new Float32Array(count);
  switch (init.kind) {
    case 'constant':
      return values.fill(init.value);
    case 'uniform':
      for (let i = 0; i < count; i++) values[i] = (2 * random.uniform() - 1) * init.bound;
      return values;
    case 'kaiming_normal_fan_out': {
      const deviation = Math.sqrt(2 / init.fanOut);
      for (let i = 0; i < count; i++) values[i] = deviation * random.normal();
      return values;
    }
  }
}
