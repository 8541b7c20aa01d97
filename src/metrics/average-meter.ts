/** Loss and accuracy averaged over samples, so that a smaller last batch counts for less. */

import { argmax } from './logits.js';

/** The sums of an {@link AverageMeter}. Written as JSON and read back, the numbers are the same. */
export interface MetricSums {
  readonly images: number;
  /** Sum of the batches' mean losses, each times the images of its batch. */
  readonly lossSum: number;
  /** Images classified correctly. */
  readonly correct: number;
}

/**
 * Returns the sums of one batch.
 *
 * @param loss mean over the batch.
 * @param logits the batch's [N, C].
 */
export function batchSums(
  loss: number,
  logits: Float32Array,
  labels: Int32Array,
  classes: number,
): MetricSums {
  let correct = 0;
  labels.forEach((label, row) => {
    if (argmax(logits, row * classes, classes) === label) correct += 1;
  });
  return { images: labels.length, lossSum: loss * labels.length, correct };
}

/** Averages loss and accuracy over the batches of one epoch. */
export class AverageMeter {
  images: number;
  #lossSum: number;
  #correct: number;

  /** @param sums of the batches that an interrupted epoch had completed; default: none. */
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
   * @param logits the batch's [N, C].
   */
  add(loss: number, logits: Float32Array, labels: Int32Array, classes: number): void {
    this.addSums(batchSums(loss, logits, labels, classes));
  }

  /** Adds the sums of other batches, for example those of another rank. */
  addSums({ images, lossSum, correct }: MetricSums): void {
    this.images += images;
    this.#lossSum += lossSum;
    this.#correct += correct;
  }

  /** Mean loss over all images, whatever the sizes of their batches. */
  get loss(): number {
    return this.#lossSum / this.images;
  }

  /** Share of images classified correctly, 0 to 1. */
  get accuracy(): number {
    return this.#correct / this.images;
  }
}
