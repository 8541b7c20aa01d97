/** Which classes are taken for which, and the scores of each class that follow. */

import { predictedLabels, type Predictions } from './predictions.js';

/** Returns `matrix[actual][predicted]`: the number of images of class `actual` that were classified as `predicted`. */
export function confusionMatrix(predictions: Predictions): number[][] {
  const { classes, labels } = predictions;
  const matrix = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  predictedLabels(predictions).forEach((predicted, i) => {
    const row = matrix[labels[i] ?? -1];
    if (row !== undefined) row[predicted] = (row[predicted] ?? 0) + 1;
  });
  return matrix;
}

/** How well one class is told from the others. A score is null if it would be 0 / 0. */
export interface ClassScore {
  /** Share of the images predicted as this class that are of this class: TP / (TP + FP). */
  readonly precision: number | null;
  /** Share of this class's images that were predicted as this class: TP / (TP + FN). */
  readonly recall: number | null;
  /** Harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN). */
  readonly f1: number | null;
  /** Number of images of this class. */
  readonly support: number;
}

/** Returns the scores of each class, defined as in scikit-learn's `precision_recall_fscore_support`. */
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
