/**
 * The learning-rate range test as numbers: which rates are tried, and what their losses say.
 *
 * Smith, "Cyclical Learning Rates for Training Neural Networks" (2017), section 3.3. Smoothing and stop are
 * those of fastai's `lr_find`; the choice is after its `valley`, with the true beginning of the descent.
 */

/** Weight of the past in the smoothed loss. */
const SMOOTHING = 0.98;
/** The test ends where the smoothed loss is so many times its least. */
const DIVERGED = 4;
/** Share by which the smoothed loss must fall for the test to say anything. */
const LEAST_FALL = 0.02;

/** One step of the test. */
export interface LrPoint {
  /** Learning rate of the step. */
  readonly lr: number;
  /** Loss of the step's batch, before its update. */
  readonly loss: number;
  /** Exponential moving average of the losses, corrected for its start at zero. */
  readonly smoothed: number;
}

/** Learning rate that a range test suggests. */
export interface LrSuggestion {
  /** Middle of the smoothed loss's longest descent: a rate that learns well, with room above. */
  readonly lr: number;
  /** Rate of the least smoothed loss: from here on learning becomes unstable. */
  readonly lowest: number;
}

/** `steps` rates from `min` to `max`, each the same factor above the one before. */
export function rangeOfRates(min: number, max: number, steps: number): number[] {
  return Array.from({ length: steps }, (_, i) => min * (max / min) ** (i / (steps - 1)));
}

/** Takes the losses one by one, and knows when to stop. */
export class LrCurve {
  readonly points: LrPoint[] = [];
  #average = 0;
  #least = Infinity;

  /** @returns whether the test goes on: the loss is finite and has not run away. */
  add(lr: number, loss: number): boolean {
    if (!Number.isFinite(loss)) return false;
    this.#average = SMOOTHING * this.#average + (1 - SMOOTHING) * loss;
    const smoothed = this.#average / (1 - SMOOTHING ** (this.points.length + 1));
    this.points.push({ lr, loss, smoothed });
    this.#least = Math.min(this.#least, smoothed);
    return smoothed <= DIVERGED * this.#least;
  }

  /** Null where the loss did not fall by 2 % anywhere: then no rate is better than another. */
  suggest(): LrSuggestion | null {
    const { points } = this;
    const valley = longestDescent(points.map(({ smoothed }) => smoothed));
    const [first, last] = [points[valley.first], points[valley.last]];
    if (first === undefined || last === undefined) return null;
    if (last.smoothed > first.smoothed * (1 - LEAST_FALL)) return null;
    const middle = points[Math.round((valley.first + valley.last) / 2)] ?? first;
    const lowest = points.reduce((a, b) => (b.smoothed < a.smoothed ? b : a));
    return { lr: middle.lr, lowest: lowest.lr };
  }
}

/**
 * The ends of the longest decreasing subsequence (the first of that length to be complete): a descent
 * that noise interrupts is still one.
 */
export function longestDescent(values: readonly number[]): { first: number; last: number } {
  // For each value the length and the beginning of the longest descent that ends there.
  const lengths: number[] = [];
  const beginnings: number[] = [];
  let last = 0;
  values.forEach((value, i) => {
    let [length, beginning] = [1, i];
    for (let j = 0; j < i; j++) {
      if ((values[j] ?? 0) > value && (lengths[j] ?? 0) + 1 > length) {
        [length, beginning] = [(lengths[j] ?? 0) + 1, beginnings[j] ?? 0];
      }
    }
    lengths.push(length);
    beginnings.push(beginning);
    if (length > (lengths[last] ?? 0)) last = i;
  });
  return { first: beginnings[last] ?? 0, last };
}
