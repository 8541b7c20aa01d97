/** The state training starts from: pretrained, from a file, or random; the head is always fresh. */

import { access } from 'node:fs/promises';
import path from 'node:path';
import type { Artifacts } from '../artifacts/open-artifacts.js';
import { parseFile } from './byte-source.js';
import { ConfigError } from '../common/errors.js';
import { initialize } from './init.js';
import { type FetchOptions, fetchPretrained } from './download.js';
import { isPth, readPth } from './pth/read-pth.js';
import { Philox, STREAM } from '../common/philox.js';
import { readSafetensors } from './safetensors.js';
import { type StateEntry, stateLayout, requireTensor } from '../artifacts/state-layout.js';
import { elementCount, type State, type Tensor } from '../common/tensor.js';

/** With the fetch's options, for `imagenet` if it must be fetched. */
export interface InitialStateOptions extends FetchOptions {
  /** `imagenet`, `random`, or the path of a `.safetensors` or `.pth` file with torchvision's names. */
  readonly weights: string;
  readonly classes: number;
  readonly seed: number;
}

export interface InitialState {
  readonly state: State;
  /** Where the weights come from, for people. */
  readonly source: string;
}

/** Tensors to start from, and where they were found. */
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
): Promise<InitialState> {
  const { weights, classes, seed } = options;
  const found = weights === 'random' ? null : await findWeights(artifacts, options);
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

/** Files may lack the counters, which older ones and the build's own do not have. */
function isLoaded({ name, role }: StateEntry, tensors: ReadonlyMap<string, Tensor>): boolean {
  if (role === 'counter') return tensors.has(name);
  return role === 'backbone' || role === 'statistics';
}

/** Each tensor has random numbers of its own, a function of the seed and its place in the layout. */
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
  options: InitialStateOptions,
): Promise<WeightSource> {
  const { weights } = options;
  if (weights !== 'imagenet') {
    return { tensors: await readWeightFile(weights), source: weights };
  }
  const { arch, pretrained } = artifacts.manifest;
  if (pretrained === null) {
    throw new ConfigError(
      `expected a network with published weights for --weights imagenet, got ${arch}; use --weights FILE or --weights random`,
    );
  }
  const built = artifacts.initialCheckpoint;
  if (await exists(built)) {
    // The build may also have written weights of another origin there; those are not asked for here.
    const { tensors, metadata } = await readSafetensors(built);
    if (metadata.get('source') === pretrained.name) {
      return { tensors, source: `${pretrained.name} (${built})` };
    }
  }
  const file = await fetchPretrained(pretrained, options);
  return { tensors: await readPth(file), source: `${pretrained.name} (${file})` };
}

async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}

/**
 * The tensors of a `.safetensors` or `.pth` file, told apart by their contents.
 *
 * @throws WeightsError if it is missing, unreadable or damaged.
 */
export async function readWeightFile(file: string): Promise<Map<string, Tensor>> {
  const torch = await parseFile(
    file,
    'weights (.safetensors or .pth)',
    'check the path, or use --weights imagenet or --weights random',
    isPth,
  );
  if (torch || /^\.(pth|pt)$/i.test(path.extname(file))) return readPth(file);
  return (await readSafetensors(file)).tensors;
}
