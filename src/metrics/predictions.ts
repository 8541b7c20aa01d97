/** What a classifier said about labelled images, and the figures that follow from it. */

import { argmax } from './average-meter.js';

export interface Predictions {
  /** C. */
  readonly classes: number;
  /** [N], indices of the samples in the data set. */
  readonly indices: Uint32Array;
  /** [N]. */
  readonly labels: Int32Array;
  /** [N, C]. */
  readonly logits: Float32Array;
}

/** Collects the predictions of a pass, batch by batch. */
export class PredictionList {
  readonly #indices: number[] = [];
  readonly #labels: number[] = [];
  readonly #logits: Float32Array[] = [];

  constructor(private readonly classes: number) {}

  /** @param logits [N, C] of the batch; kept. */
  add(indices: Uint32Array, labels: Int32Array, logits: Float32Array): void {
    this.#indices.push(...indices);
    this.#labels.push(...labels);
    this.#logits.push(logits);
  }

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

/** Probabilities of one row of logits, in float64. */
export function softmax(logits: Float32Array, offset: number, classes: number): Float64Array {
  const row = Float64Array.from(logits.subarray(offset, offset + classes));
  const largest = row.reduce((a, b) => Math.max(a, b), -Infinity);
  const powers = row.map((value) => Math.exp(value - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((value) => value / sum);
}

/** The most probable classes of a row, best first; on ties the lower index first. */
export function topClasses(
  logits: Float32Array,
  offset: number,
  classes: number,
  count: number,
): { label: number; probability: number }[] {
  return [...softmax(logits, offset, classes)]
    .map((probability, label) => ({ label, probability }))
    .sort((a, b) => b.probability - a.probability || a.label - b.label)
    .slice(0, count);
}

/** The predicted class of each image. */
export function predictedLabels({ labels, logits, classes }: Predictions): Int32Array {
  return labels.map((_, row) => argmax(logits, row * classes, classes));
}

/** `matrix[actual][predicted]`: how many images. */
export function confusionMatrix(predictions: Predictions): number[][] {
  const { classes, labels } = predictions;
  const matrix = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  predictedLabels(predictions).forEach((predicted, i) => {
    const row = matrix[labels[i] ?? -1];
    if (row !== undefined) row[predicted] = (row[predicted] ?? 0) + 1;
  });
  return matrix;
}

/** How well one class is told from the others; null where it would be 0 / 0. */
export interface ClassScore {
  /** Of the images predicted to be of the class, the share that is. */
  readonly precision: number | null;
  /** Of the class's images, the share that was found. */
  readonly recall: number | null;
  /** Harmonic mean of the two: 2 TP / (2 TP + FP + FN). */
  readonly f1: number | null;
  /** Images of the class. */
  readonly support: number;
}

/** One score a class. Definitions as in scikit-learn's `precision_recall_fscore_support`. */
export function classScores(matrix: readonly (readonly number[])[]): ClassScore[] {
  const share = (part: number, whole: number): number | null => (whole === 0 ? null : part / whole);
  const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
  return matrix.map((row, label) => {
    const hits = row[label] ?? 0;
    const support = sum(row);
    const predicted = sum(matrix.map((other) => other[label] ?? 0));
    return {
      precision: share(hits, predicted),
      recall: share(hits, support),
      f1: share(2 * hits, support + predicted),
      support,
    };
  });
}

/** An image that was taken for another class. */
export interface Mistake {
  /** Of the sample in the data set. */
  readonly index: number;
  readonly label: number;
  readonly predicted: number;
  /** Probability of the predicted class. */
  readonly confidence: number;
  /** Probability of the right class. */
  readonly labelProbability: number;
}

/** The wrong predictions of highest probability, worst first. */
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
