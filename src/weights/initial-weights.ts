/** The state training starts from: pretrained, from a file, or random; the head is always fresh. */

import type { Manifest, PretrainedSpec } from '../artifacts/manifest.js';
import type { Artifacts } from '../artifacts/open-artifacts.js';
import { requireTensor, type StateEntry, stateLayout } from '../artifacts/state-layout.js';
import { ConfigError } from '../common/errors.js';
import { Philox, STREAM } from '../common/philox.js';
import { elementCount, type State, type Tensor } from '../common/tensor.js';
import { initialize } from './init.js';
import { openSafetensors } from './safetensors.js';
import {
  loadWeights,
  type LoadedWeights,
  type SoughtWeights,
  type WeightPlatform,
} from './weight-file.js';

export interface InitialStateOptions {
  /** `imagenet`, `random`, or the path of a `.safetensors` or `.pth` file. */
  readonly weights: string;
  /** Number of classes. */
  readonly classes: number;
  /** Seed of the random tensors. */
  readonly seed: number;
  /** Finds or fetches published weights and returns the path of the verified file. Called for `imagenet` only. */
  readonly findPublished: (spec: PretrainedSpec, arch: string) => Promise<string>;
  /** Reads the manifests of the networks to compare a refused file with. */
  readonly knownManifests: () => Promise<readonly Manifest[]>;
}

export interface InitialState {
  readonly state: State;
  /** Origin of the weights, for people. */
  readonly source: string;
  /** Sentences about how the file was understood, such as a prefix of its names that was left out. */
  readonly remarks: readonly string[];
}

/** Tensors to start from, and their origin. */
interface WeightSource extends LoadedWeights {
  readonly source: string;
}

/**
 * Builds the initial state: backbone and running statistics as `weights` says, the head fresh by its own
 * initialiser, momentum and, where a file has none, step counters zero.
 *
 * @throws WeightsError if the weights cannot be had, a tensor outside the head is missing or has another shape, the
 *   file has tensors of another network, or a value is not finite; ConfigError if the network has no published
 *   weights. There is no silent fallback.
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
  const source = found?.source ?? `random (seed ${seed})`;
  return { state, source, remarks: found?.remarks ?? [] };
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

/** Describes the weights of a network for {@link loadWeights}. */
export function soughtWeights(
  manifest: Manifest,
  classes: number,
  knownManifests: () => Promise<readonly Manifest[]>,
): SoughtWeights {
  return {
    arch: manifest.arch,
    layout: stateLayout(manifest, classes),
    names: manifest.pretrained?.names ?? null,
    known: async () =>
      (await knownManifests()).map((known) => ({
        arch: known.arch,
        layout: stateLayout(known, classes),
      })),
  };
}

async function findWeights(
  { manifest, initialCheckpoint }: Artifacts,
  { weights, classes, findPublished, knownManifests }: InitialStateOptions,
  platform: WeightPlatform,
): Promise<WeightSource> {
  const { arch, pretrained } = manifest;
  const load = (file: string): Promise<LoadedWeights> =>
    loadWeights(file, soughtWeights(manifest, classes, knownManifests), platform);
  if (weights !== 'imagenet') return { ...(await load(weights)), source: weights };
  if (pretrained === null) {
    throw new ConfigError(
      `expected a network with published weights for --weights imagenet, got ${arch}; use --weights FILE or --weights random`,
    );
  }
  if (await platform.files.exists(initialCheckpoint)) {
    // A build may also have left weights of another origin there.
    const origin = await openSafetensors(initialCheckpoint, platform.files, (_, metadata) =>
      Promise.resolve(metadata.get('source')),
    );
    if (origin === pretrained.name) {
      const source = `${pretrained.name} (${initialCheckpoint})`;
      return { ...(await load(initialCheckpoint)), source };
    }
  }
  const file = await findPublished(pretrained, arch);
  return { ...(await load(file)), source: `${pretrained.name} (${file})` };
}
