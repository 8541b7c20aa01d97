/** Targets of the training loss: how much each class counts for each image. */

/** Settings of the training loss that change plain cross entropy. */
export interface TargetSettings {
  /** Weight of each class. Default: 1. */
  readonly classWeights?: readonly number[] | undefined;
  /** Share of each target that is spread over all classes; default 0. */
  readonly labelSmoothing?: number | undefined;
}

/**
 * Returns rows [N, C] whose loss -sum(T * log p) equals PyTorch's `CrossEntropyLoss(weight, label_smoothing)` of the
 * batch. With y the label, w the class weights and e the smoothing,
 * T[c] = ((1 - e) * w[y] * (1 if c = y, else 0) + e / C * w[c]) / (sum of w[y] over the batch).
 */
export function targetRows(
  labels: Int32Array,
  classes: number,
  { classWeights, labelSmoothing = 0 }: TargetSettings = {},
): Float32Array<ArrayBuffer> {
  const weight = (label: number): number => classWeights?.[label] ?? 1;
  const total = labels.reduce((sum, label) => sum + weight(label), 0);
  const targets = new Float32Array(labels.length * classes);
  labels.forEach((label, row) => {
    for (let c = 0; c < classes; c++) {
      const own = c === label ? (1 - labelSmoothing) * weight(label) : 0;
      targets[row * classes + c] = (own + (labelSmoothing / classes) * weight(c)) / total;
    }
  });
  return targets;
}
