/** Chooses the training graph for some settings, a provider and a batch size. */

import type { GraphSpec, Manifest, TrainingGraph } from '../artifacts/manifest.js';
import type { GraphName } from '../artifacts/open-artifacts.js';
import { DeviceError } from '../common/errors.js';
import type { FloatTensors } from '../common/tensor.js';
import type { Provider } from './ort-worker-messages.js';

/** The settings that decide which graph is needed. */
export interface GraphSettings {
  readonly freeze: 'none' | 'backbone';
  readonly nesterov: boolean;
  /** Largest norm of all gradients together; 0 means no limit. */
  readonly clipGradNorm: number;
}

/** Returns the fastest graph that supports the settings. */
export function trainingGraph({ freeze, nesterov, clipGradNorm }: GraphSettings): TrainingGraph {
  if (freeze === 'backbone') return 'trainHead';
  return nesterov || clipGradNorm > 0 ? 'trainExtended' : 'train';
}

/** Returns the variant of a graph for a provider. The graphs for GPUs support all that `trainExtended` does. */
export function graphForProvider(provider: Provider, graph: TrainingGraph): TrainingGraph {
  if (graph === 'trainHead' || provider === 'cpu') return graph;
  return provider === 'cuda' ? 'trainCuda' : 'trainWebgpu';
}

/**
 * Returns the manifest's entry of a graph.
 *
 * @throws DeviceError if the network was built without it.
 */
export function requireGraph<G extends GraphName>(
  { arch, graphs }: Manifest,
  graph: G,
): NonNullable<Manifest['graphs'][G]> {
  const spec = graphs[graph];
  if (spec !== undefined) return spec;
  throw new DeviceError(`expected the graph ${graph} of ${arch}, found none; use --device cpu`);
}

/** Returns the tensors that the graph has an input for. */
export function selectInputs({ inputs }: GraphSpec, tensors: FloatTensors): FloatTensors {
  const known = new Set(inputs.map(({ name }) => name));
  return Object.fromEntries(Object.entries(tensors).filter(([name]) => known.has(name)));
}

/** One call holds at most about this many images. */
const IMAGES_PER_CALL = 32;
/** More steps per call are hardly faster, and each holds one or two more copies of the state. */
const MAX_STEPS_PER_CALL = 2;

/**
 * On CUDA a call copies the state (90 MB) to the device and back: 30 ms at 6 GB/s. That is 5 % of a call of 600 ms:
 * 120 steps of 5 ms with batch 4, 24 steps of 25 ms with batch 64. (Estimates: no CUDA device was at hand.)
 */
const IMAGES_ON_CUDA = 1536;
const MAX_STEPS_ON_CUDA = 128;

/** Returns how many training steps share one call of the runtime, whose fixed cost is one copy of the state. */
export function stepsPerExecution(batchSize: number, graph: TrainingGraph = 'train'): number {
  const [images, most] =
    graph === 'trainCuda'
      ? [IMAGES_ON_CUDA, MAX_STEPS_ON_CUDA]
      : [IMAGES_PER_CALL, MAX_STEPS_PER_CALL];
  return Math.max(1, Math.min(most, Math.floor(images / batchSize)));
}
