/** Finds out which execution provider runs which operators of a training graph. Does not work under jest. */

import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { Artifacts } from '../../src/artifacts/open-artifacts.js';
import { missingForCuda } from '../../src/devices/cuda.js';
import type { Provider } from '../../src/session/ort-worker-messages.js';
import { graphForProvider, requireGraph } from '../../src/session/training-graph.js';

interface ProfileEvent {
  readonly cat: string;
  readonly args?: { readonly provider?: string; readonly op_name?: string };
}

/**
 * Counts how often each operator ran, by provider. Runs one step of the training graph and reads its profile.
 *
 * @param batchSize images per step.
 */
export async function placements(
  artifacts: Artifacts,
  provider: Provider,
  batchSize = 2,
): Promise<Record<string, Record<string, number>>> {
  const graph = graphForProvider(provider, 'train');
  const sizes: Readonly<Record<string, number>> = { K: 1, N: batchSize, C: 2 };
  // This also loads the libraries that the provider needs.
  const missing = provider === 'cuda' ? missingForCuda() : null;
  if (missing !== null) throw new Error(`expected what CUDA needs, lacking: ${missing}`);
  const folder = await mkdtemp(path.join(os.tmpdir(), 'profile-'));
  try {
    const session = await InferenceSession.create(await artifacts.readGraph(graph), {
      // Keep these options equal to those of the session's thread.
      executionProviders: [
        graph === 'trainWebgpu' ? { name: 'webgpu', preferredLayout: 'NCHW' } : provider,
      ],
      enableProfiling: true,
      profileFilePrefix: path.join(folder, 'profile'),
      logSeverityLevel: 4,
    });
    const feeds: Record<string, Tensor> = {};
    for (const { name, shape } of requireGraph(artifacts.manifest, graph).inputs) {
      const dims = shape.map((size) => (typeof size === 'string' ? (sizes[size] ?? 1) : size));
      const count = dims.reduce((a, b) => a * b, 1);
      feeds[name] = new Tensor('float32', new Float32Array(count).fill(0.1), dims);
    }
    await session.run(feeds);
    session.endProfiling();
    await session.release();
    const [file = ''] = await readdir(folder);
    const events = JSON.parse(await readFile(path.join(folder, file), 'utf8')) as ProfileEvent[];
    const counts: Record<string, Record<string, number>> = {};
    for (const { cat, args } of events) {
      if (cat !== 'Node' || !args?.provider || !args.op_name) continue;
      const operators = (counts[args.provider] ??= {});
      operators[args.op_name] = (operators[args.op_name] ?? 0) + 1;
    }
    return counts;
  } finally {
    await rm(folder, { recursive: true });
  }
}
