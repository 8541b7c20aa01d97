import { describe, expect, test } from '@jest/globals';
import {
  PredictionList,
  confidentMistakes,
  type Predictions,
} from '../../../src/metrics/predictions.js';
import { classScores, confusionMatrix } from '../../../src/metrics/confusion-matrix.js';

/** Logits that predict `predicted`, the more confident the larger `margin`. */
function row(predicted: number, margin: number, classes = 3): number[] {
  return Array.from({ length: classes }, (_, i) => (i === predicted ? margin : 0));
}

/** Labels 0 0 0 1 1 2, predicted 0 0 1 1 0 1, in two batches. */
function example(): Predictions {
  const list = new PredictionList(3);
  list.add(
    Uint32Array.of(10, 11, 12, 13),
    Int32Array.of(0, 0, 0, 1),
    Float32Array.from([...row(0, 5), ...row(0, 1), ...row(1, 2), ...row(1, 3)]),
  );
  list.add(
    Uint32Array.of(14, 15),
    Int32Array.of(1, 2),
    Float32Array.from([...row(0, 6), ...row(1, 4)]),
  );
  return list.finish();
}

describe('the figures of a pass', () => {
  test('the confusion matrix has a row for each actual class', () => {
    expect(confusionMatrix(example())).toEqual([
      [2, 1, 0],
      [1, 1, 0],
      [0, 1, 0],
    ]);
  });

  test("precision, recall and F1 are scikit-learn's", () => {
    // precision_recall_fscore_support([0,0,0,1,1,2], [0,0,1,1,0,1]) gives 2/3, 1/3, 0/0; 2/3, 1/2, 0; 2/3, 0.4, 0.
    const [a, b, c] = classScores(confusionMatrix(example()));
    expect(a).toEqual({ precision: 2 / 3, recall: 2 / 3, f1: 2 / 3, support: 3 });
    expect(b).toEqual({ precision: 1 / 3, recall: 1 / 2, f1: 0.4, support: 2 });
    expect(c).toEqual({ precision: null, recall: 0, f1: 0, support: 1 });
  });

  test('mistakes come most confident first, with both probabilities', () => {
    const mistakes = confidentMistakes(example(), 2);
    expect(mistakes.map(({ index, label, predicted }) => [index, label, predicted])).toEqual([
      [14, 1, 0],
      [15, 2, 1],
    ]);
    const e = Math.exp(6);
    expect(mistakes[0]?.confidence).toBeCloseTo(e / (e + 2), 12);
    expect(mistakes[0]?.labelProbability).toBeCloseTo(1 / (e + 2), 12);
    expect(confidentMistakes(example(), 99)).toHaveLength(3);
  });
});
