/**
 * Runs three training steps with ONNX Runtime's profiler, in the runtime that trains. Arguments: batch size,
 * folder to write the profile to, threads.
 */

import path from 'node:path';
import * as ort from 'onnxruntime-node';
import { bundledArtifacts, openArtifacts } from '../../dist/src/internal.js';

const batch = Number(process.argv[2]);
const artifacts = await openArtifacts(bundledArtifacts());
const { train } = artifacts.manifest.graphs;
const session = await ort.InferenceSession.create(await artifacts.readGraph('train'), {
  enableProfiling: true,
  profileFilePrefix: path.join(process.argv[3], 'profile'),
  intraOpNumThreads: Number(process.argv[4]),
});
const sizes = { K: 1, N: batch, C: 2 };
const feeds = {};
for (const { name, shape } of train.inputs) {
  const dims = shape.map((size) => sizes[size] ?? size);
  const data = new Float32Array(dims.reduce((a, b) => a * b, 1));
  // Small positive numbers: no value is zero, and variances are positive.
  for (let i = 0; i < data.length; i++) data[i] = Math.random() / 10 + 0.001;
  feeds[name] = new ort.Tensor('float32', data, dims);
}
for (let round = 0; round < 3; round++) await session.run(feeds);
session.endProfiling();
