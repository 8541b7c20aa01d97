/** Which of two validation results is better. */

/** The numbers that two results are compared by. */
export interface Score {
  /** Share of images classified correctly, 0 to 1. */
  readonly accuracy: number;
  /** Mean cross entropy. */
  readonly loss: number;
}

/**
 * Returns whether `candidate` beats `best`: a higher accuracy, or at the same accuracy a lower loss. A result whose
 * loss is not finite is never better.
 */
export function isBetter(candidate: Score, best: Score): boolean {
  if (!Number.isFinite(candidate.loss)) return false;
  if (candidate.accuracy !== best.accuracy) return candidate.accuracy > best.accuracy;
  return candidate.loss < best.loss;
}
