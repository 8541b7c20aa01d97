/** Functions of one row of logits, the network's raw scores of the classes. */

/** Returns the index of the largest of `count` values from `offset`. On ties the first one wins, as in torch.argmax. */
export function argmax(values: Float32Array, offset: number, count: number): number {
  let best = 0;
  for (let i = 1; i < count; i++) {
    if ((values[offset + i] ?? NaN) > (values[offset + best] ?? NaN)) best = i;
  }
  return best;
}

/** Returns the probabilities of the `classes` logits from `offset`, computed in float64. */
export function softmax(logits: Float32Array, offset: number, classes: number): Float64Array {
  const row = Float64Array.from(logits.subarray(offset, offset + classes));
  const largest = row.reduce((a, b) => Math.max(a, b), -Infinity);
  const powers = row.map((value) => Math.exp(value - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((value) => value / sum);
}

/** Returns the cross entropy of one row, log(sum exp(z)) - z[label], computed in float64. */
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

/** Returns the `count` most probable classes of one row, best first; on ties the lower label comes first. */
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
