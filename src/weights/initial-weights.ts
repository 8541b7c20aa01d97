/** The state training starts from: pretrained, from a file, or random; the head is always fresh. */

import type { PretrainedSpec } from '../artifacts/manifest.js';
import type { Artifacts } from '../artifacts/open-artifacts.js';
import { requireTensor, type StateEntry, stateLayout } from '../artifacts/state-layout.js';
import { ConfigError } from '../common/errors.js';
import { Philox, STREAM } from '../common/philox.js';
import { elementCount, type State, type Tensor } from '../common/tensor.js';
import type { Platform } from '../platform/platform.js';
import { parseFile } from './byte-source.js';
import { initialize } from './init.js';
import { isPth, readPth } from './pth/read-pth.js';
import { readSafetensors } from './safetensors.js';

/** The host's parts that weight files are read with. */
type WeightPlatform = Pick<Platform, 'files' | 'zip'>;

export interface InitialStateOptions {
  /** `imagenet`, `random`, or the path of a `.safetensors` or `.pth` file with torchvision's names. */
  readonly weights: string;
  /** Number of classes. */
  readonly classes: number;
  /** Seed of the random tensors. */
  readonly seed: number;
  /** Fetches published weights and returns the path of the verified `.pth` file. Called for `imagenet` only. */
  readonly fetchPretrained: (spec: PretrainedSpec) => Promise<string>;
}

export interface InitialState {
  readonly state: State;
  /** Origin of the weights, for people. */
  readonly source: string;
}

/** Tensors to start from, and their origin. */
interface WeightSource {
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly source: string;
}

/**
 * Builds the initial state: backbone and running statistics as `weights` says, the head fresh by its own
 * initialiser, momentum and, where a file has none, step counters zero.
 *
 * @throws WeightsError if the weights cannot be had, or a tensor outside the head is missing or has another
 *   shape; ConfigError if the network has no published weights. There is no silent fallback.
 */
export async function initialState(
  artifacts: Artifacts,
  options: InitialStateOptions,
  platform: WeightPlatform,
): Promise<InitialState> {
  const { weights, classes, seed } = options;
  const found = weights === 'random' ? null : await findWeights(artifacts, options, platform);
  const { manifest } = artifacts;
  const state: State = new Map();
  for (const [index, entry] of stateLayout(manifest, classes).entries()) {
    const given = found !== null && isLoaded(entry, found.tensors);
    const tensor = given
      ? requireTensor(found.tensors, entry, manifest.arch, found.source)
      : freshTensor(entry, index, seed);
    state.set(entry.name, tensor);
  }
  return { state, source: found?.source ?? `random (seed ${seed})` };
}

/** Checks whether a tensor comes from the file. Counters may be missing in older files and the build's own. */
function isLoaded({ name, role }: StateEntry, tensors: ReadonlyMap<string, Tensor>): boolean {
  if (role === 'counter') return tensors.has(name);
  return role === 'backbone' || role === 'statistics';
}

/** Makes a tensor from random numbers that depend on the seed and its index in the layout only. */
function freshTensor(
  { dtype, shape, role, init }: StateEntry,
  index: number,
  seed: number,
): Tensor {
  const count = elementCount(shape) ?? 0;
  if (dtype === 'int64') return { dtype, shape, data: new BigInt64Array(count) };
  const stream = role === 'head' ? STREAM.head : STREAM.weights;
  return { dtype, shape, data: initialize(init, count, new Philox(seed, stream, 0, index)) };
}

async function findWeights(
  artifacts: Artifacts,
  { weights, fetchPretrained }: InitialStateOptions,
  platform: WeightPlatform,
): Promise<WeightSource> {
  if (weights !== 'imagenet') {
    return { tensors: await readWeightFile(weights, platform), source: weights };
  }
  const { arch, pretrained } = artifacts.manifest;
  if (pretrained === null) {
    throw new ConfigError(
      `expected a network with published weights for --weights imagenet, got ${arch}; use --weights FILE or --weights random`,
    );
  }
  const built = artifacts.initialCheckpoint;
  if (await platform.files.exists(built)) {
    // A build may also have left weights of another origin there.
    const { tensors, metadata } = await readSafetensors(built, platform.files);
    if (metadata.get('source') === pretrained.name) {
      return { tensors, source: `${pretrained.name} (${built})` };
    }
  }
  const file = await fetchPretrained(pretrained);
  return { tensors: await readPth(file, platform), source: `${pretrained.name} (${file})` };
}

const EXPECTATION = {
  expected: 'weights (.safetensors or .pth)',
  advice: 'check the path, or use --weights imagenet or --weights random',
};

/**
 * Reads the tensors of a `.safetensors` or `.pth` file, told apart by their contents.
 *
 * @throws WeightsError if it is missing, unreadable or damaged.
 */
async function readWeightFile(
  file: string,
  platform: WeightPlatform,
): Promise<Map<string, Tensor>> {
  const torch = await parseFile(file, platform.files, EXPECTATION, isPth);
  // A damaged .pth file should be reported as such, not as a bad safetensors file.
  if (torch || /[^/\\]\.(pth|pt)$/i.test(file)) return readPth(file, platform);
  return (await readSafetensors(file, platform.files)).tensors;
}
