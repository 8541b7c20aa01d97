/** Logits of labelled images, and the mistakes among them. */

import { argmax, softmax } from './logits.js';

/** The logits of N labelled images. */
export interface Predictions {
  /** Number of classes, C. */
  readonly classes: number;
  /** [N], indices of the samples in the data set. */
  readonly indices: Uint32Array;
  /** [N], the right classes. */
  readonly labels: Int32Array;
  /** [N, C]. */
  readonly logits: Float32Array;
}

/** Collects predictions batch by batch. */
export class PredictionList {
  readonly #indices: number[] = [];
  readonly #labels: number[] = [];
  readonly #logits: Float32Array[] = [];

  constructor(private readonly classes: number) {}

  /**
   * Adds one batch.
   *
   * @param logits [N, C] of the batch. The list keeps this array until {@link finish}.
   */
  add(indices: Uint32Array, labels: Int32Array, logits: Float32Array): void {
    this.#indices.push(...indices);
    this.#labels.push(...labels);
    this.#logits.push(logits);
  }

  /** Returns all batches added so far as one. */
  finish(): Predictions {
    const { classes } = this;
    const logits = new Float32Array(this.#labels.length * classes);
    let offset = 0;
    for (const batch of this.#logits) {
      logits.set(batch, offset);
      offset += batch.length;
    }
    return {
      classes,
      indices: Uint32Array.from(this.#indices),
      labels: Int32Array.from(this.#labels),
      logits,
    };
  }
}

/** Returns the predicted class of each image, [N]. */
export function predictedLabels({ labels, logits, classes }: Predictions): Int32Array {
  return labels.map((_, row) => argmax(logits, row * classes, classes));
}

/** An image that was classified wrongly. */
export interface Mistake {
  /** Index of the sample in the data set. */
  readonly index: number;
  /** The right class. */
  readonly label: number;
  readonly predicted: number;
  /** Probability of the predicted class. */
  readonly confidence: number;
  /** Probability of the right class. */
  readonly labelProbability: number;
}

/** Returns up to `count` wrong predictions, those of the highest confidence first. */
export function confidentMistakes(predictions: Predictions, count: number): Mistake[] {
  const { classes, indices, labels, logits } = predictions;
  const mistakes: Mistake[] = [];
  predictedLabels(predictions).forEach((predicted, row) => {
    const label = labels[row] ?? 0;
    if (predicted === label) return;
    const probabilities = softmax(logits, row * classes, classes);
    mistakes.push({
      index: indices[row] ?? 0,
      label,
      predicted,
      confidence: probabilities[predicted] ?? 0,
      labelProbability: probabilities[label] ?? 0,
    });
  });
  return mistakes.sort((a, b) => b.confidence - a.confidence || a.index - b.index).slice(0, count);
}
