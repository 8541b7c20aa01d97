/** Loss and accuracy, counted by samples. */

/** Index of the largest of `count` values from `offset`; the first one on ties, as torch.argmax. */
export function argmax(values: Float32Array, offset: number, count: number): number {
  let best = 0;
  for (let i = 1; i < count; i++) {
    if ((values[offset + i] ?? NaN) > (values[offset + best] ?? NaN)) best = i;
  }
  return best;
}

/** Cross entropy of one row of logits: log sum exp(z) - z[label], in float64. */
export function crossEntropy(
  logits: Float32Array,
  offset: number,
  classes: number,
  label: number,
): number {
  const row = logits.subarray(offset, offset + classes);
  const largest = row.reduce((a, b) => Math.max(a, b), -Infinity);
  let sum = 0;
  for (const value of row) sum += Math.exp(value - largest);
  return largest + Math.log(sum) - (row[label] ?? NaN);
}

/** One-hot rows divided by the number of rows, [N, C]: the targets whose loss is the batch's mean. */
export function meanTargets(labels: Int32Array, classes: number): Float32Array<ArrayBuffer> {
  const targets = new Float32Array(labels.length * classes);
  labels.forEach((label, row) => {
    targets[row * classes + label] = 1 / labels.length;
  });
  return targets;
}

/** What a {@link AverageMeter} has summed up. Written as JSON and read back, the numbers are the same. */
export interface MetricSums {
  readonly images: number;
  /** Of losses, each counted once for every image of its batch. */
  readonly lossSum: number;
  readonly correct: number;
}

/**
 * The sums of one batch.
 *
 * @param loss mean over the batch.
 * @param logits [N, C], from `offset` on.
 */
export function batchSums(
  loss: number,
  logits: Float32Array,
  labels: Int32Array,
  classes: number,
  offset = 0,
): MetricSums {
  let correct = 0;
  labels.forEach((label, row) => {
    if (argmax(logits, offset + row * classes, classes) === label) correct += 1;
  });
  return { images: labels.length, lossSum: loss * labels.length, correct };
}

/** Sums over one pass. */
export class AverageMeter {
  images: number;
  #lossSum: number;
  #correct: number;

  /** @param sums of the part of the pass that is done already. */
  constructor(sums: MetricSums = { images: 0, lossSum: 0, correct: 0 }) {
    this.images = sums.images;
    this.#lossSum = sums.lossSum;
    this.#correct = sums.correct;
  }

  get sums(): MetricSums {
    return { images: this.images, lossSum: this.#lossSum, correct: this.#correct };
  }

  /**
   * Adds one batch.
   *
   * @param loss mean over the batch.
   * @param logits [N, C], from `offset` on.
   */
  add(loss: number, logits: Float32Array, labels: Int32Array, classes: number, offset = 0): void {
    this.addSums(batchSums(loss, logits, labels, classes, offset));
  }

  addSums({ images, lossSum, correct }: MetricSums): void {
    this.images += images;
    this.#lossSum += lossSum;
    this.#correct += correct;
  }

  /** Mean over all samples, whatever the sizes of their batches. */
  get loss(): number {
    return this.#lossSum / this.images;
  }

  get accuracy(): number {
    return this.#correct / this.images;
  }
}
