/** Initialises fresh tensors as their publisher does, from a seed. */

import type { Initializer } from '../artifacts/manifest.js';
import type { Philox } from '../common/philox.js';

/** Normal numbers that are drawn for one element at most: bounds that refuse so many hold hardly any. */
const MAX_DRAWS = 1000;

/**
 * Returns the elements of a fresh tensor, which are independent of one another.
 *
 * - `constant`: `value`, such as BatchNorm's ones and zeros.
 * - `normal`: with `mean` and standard deviation `std`. Kaiming's rule for ReLU (He et al. 2015) has mean 0 and std
 *   sqrt(2 / fan), where a fan is a convolution's number of inputs or outputs.
 * - `truncated_normal`: such numbers, drawn again while they are below `low` or above `high`.
 * - `uniform`: between `low` and `high`. PyTorch's linear layers have 1 / sqrt(fan in) for `high`, and -`high` for `low`.
 *
 * The numbers come from `random`: they have PyTorch's distribution, but are not PyTorch's numbers.
 *
 * @throws RangeError if the bounds of a truncated normal distribution refuse nearly all numbers.
 */
export function initialize(init: Initializer, count: number, random: Philox): Float32Array {
  const values = new Float32Array(count);
  if (init.kind === 'constant') return values.fill(init.value);
  const draw = drawerOf(init, random);
  for (let i = 0; i < count; i++) values[i] = draw();
  return values;
}

/** Returns a function that draws the next element. */
function drawerOf(init: Exclude<Initializer, { kind: 'constant' }>, random: Philox): () => number {
  switch (init.kind) {
    case 'uniform': {
      const { low, high } = init;
      // This form keeps the numbers exact where the range is symmetric about 0.
      const [middle, half] = [(low + high) / 2, (high - low) / 2];
      return () => middle + half * (2 * random.uniform() - 1);
    }
    case 'normal': {
      const { mean, std } = init;
      return () => mean + std * random.normal();
    }
    case 'truncated_normal': {
      const { mean, std, low, high } = init;
      return () => {
        for (let draws = 0; draws < MAX_DRAWS; draws++) {
          const value = mean + std * random.normal();
          if (value >= low && value <= high) return value;
        }
        throw new RangeError(
          `expected bounds that hold normal numbers of mean ${mean} and deviation ${std}, got ${low} to ${high}`,
        );
      };
    }
  }
}
