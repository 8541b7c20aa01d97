/**
 * Times training steps of this project on request. Reads one request per line, such as `{"batch": 4}`; answers
 * `{"ms": milliseconds per step, "outside": share of that time outside of ONNX Runtime}`. Arguments:
 * threads, artifact folder (default: that of resnet18).
 */

import { once } from 'node:events';
import { createInterface } from 'node:readline';
import {
  bundledArtifacts,
  initialState,
  openArtifacts,
  OrtWorker,
  stack,
  stepsPerExecution,
  TrainSession,
  nodePlatform,
} from '../../dist/src/internal.js';

const CLASSES = 2;
const threads = Number(process.argv[2] ?? 2);
const artifacts = await openArtifacts(process.argv[3] ?? bundledArtifacts());
const runtime = new OrtWorker(nodePlatform.ort, 'cpu', threads);
const session = await TrainSession.create(runtime, artifacts, CLASSES);
const options = { weights: 'random', classes: CLASSES, seed: 0 };
await session.setState((await initialState(artifacts, options)).state);
const { inputSize } = artifacts.manifest.preprocessing;
const maskWidth = artifacts.manifest.masks?.width ?? 0;

function batches(size, count) {
  return Array.from({ length: count }, () => ({
    images: Float32Array.from({ length: size * 3 * inputSize ** 2 }, () => Math.random() - 0.5),
    labels: Int32Array.from({ length: size }, (_, i) => i % CLASSES),
    indices: new Uint32Array(size),
    ...(maskWidth > 0 && { masks: new Float32Array(size * maskWidth).fill(1) }),
  }));
}

const stackOptions = {
  classes: CLASSES,
  settings: { momentum: 0.9, weightDecay: 0 },
  recycle: () => undefined,
};
const rates = { lr: 0.001, headLr: 0.001 };
const lines = createInterface({ input: process.stdin });
lines.on('line', async (line) => {
  const { batch } = JSON.parse(line);
  const steps = Math.max(1, Math.min(8, Math.floor(32 / batch)));
  const groups = [];
  for (let left = steps; left > 0; left -= stepsPerExecution(batch)) {
    groups.push(batches(batch, Math.min(left, stepsPerExecution(batch))));
  }
  const before = runtime.stepSeconds;
  const start = performance.now();
  for (const group of groups) {
    const { stacked } = stack(
      group,
      group.map(() => rates),
      stackOptions,
    );
    await session.step(stacked);
  }
  const ms = (performance.now() - start) / steps;
  const inside = (1000 * (runtime.stepSeconds - before)) / steps;
  process.stdout.write(`${JSON.stringify({ ms, outside: 1 - inside / ms })}\n`);
});
await once(lines, 'close');
await runtime.close();
