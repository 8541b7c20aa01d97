/**
 * Runs the tutorial's job with this project: one epoch, and the exported model. Arguments: data folder, run
 * folder, start time of the process (seconds since 1970). Prints one JSON line: the seconds at each mark.
 */

import path from 'node:path';

const [data, out, start] = process.argv.slice(2);
const { TrainSession } = await import('../../dist/src/internal.js');
const marks = {};
const since = () => Date.now() / 1000 - Number(start);
const step = TrainSession.prototype.step;
TrainSession.prototype.step = function (chunk) {
  marks.firstStep ??= since();
  return step.call(this, chunk);
};
const { exportInference, train } = await import('../../dist/src/index.js');
await train({
  data,
  out,
  epochs: 1,
  weights: 'random',
  device: 'cpu',
  onEvent: (event) => {
    if (event.type !== 'phase') return;
    const { phase, seconds, accuracy } = event.record;
    marks[phase] = seconds;
    marks[`${phase}Accuracy`] = accuracy;
  },
});
marks.saved = since();
await exportInference({ run: out, checkpoint: 'best', out: path.join(out, 'model.onnx') });
marks.exported = since();
process.stdout.write(`${JSON.stringify(marks)}\n`);
