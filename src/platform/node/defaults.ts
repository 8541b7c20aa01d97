/** Functions of the portable rooms with Node.js as their platform, for the entries and tests. */

import type { Manifest, PretrainedSpec } from '../../artifacts/manifest.js';
import * as folder from '../../artifacts/open-artifacts.js';
import * as checkpoint from '../../checkpoint/checkpoint.js';
import * as predictions from '../../checkpoint/predictions-file.js';
import type { Tensor } from '../../common/tensor.js';
import { bundledManifests } from '../../artifacts/node/bundled-manifests.js';
import type { FetchOptions } from '../../weights/published/download.js';
import { findPublished } from '../../weights/published/find-published.js';
import * as initial from '../../weights/initial-weights.js';
import * as pth from '../../weights/pth/read-pth.js';
import * as safetensors from '../../weights/safetensors.js';
import { nodePlatform } from './node-platform.js';

/**
 * Opens an artifact folder and verifies every graph's SHA-256 against the manifest.
 *
 * @throws ArtifactError if the folder, the manifest or a graph is missing or differs.
 * @example
 * const artifacts = await openArtifacts(bundledArtifacts('resnet50'));
 */
export function openArtifacts(dir: string): Promise<folder.Artifacts> {
  return folder.openArtifacts(dir, nodePlatform);
}

/**
 * Reads a checkpoint and checks that it has exactly the tensors the manifest asks for.
 *
 * @throws WeightsError if it is missing or damaged, is not a checkpoint, or belongs to another network.
 * @example
 * const { manifest } = await openArtifacts(bundledArtifacts());
 * const { state, run } = await loadCheckpoint('runs/train-1/checkpoints/best.safetensors', manifest);
 */
export function loadCheckpoint(file: string, manifest: Manifest): Promise<checkpoint.Checkpoint> {
  return checkpoint.loadCheckpoint(file, manifest, nodePlatform);
}

/** Reads a checkpoint without comparing it with a network. */
export function readCheckpoint(file: string): Promise<checkpoint.RawCheckpoint> {
  return checkpoint.readCheckpoint(file, nodePlatform);
}

/** Writes a checkpoint whole or not at all. */
export function saveCheckpoint(file: string, content: checkpoint.Checkpoint): Promise<void> {
  return checkpoint.saveCheckpoint(file, content, nodePlatform);
}

/** Reads a safetensors file; `input` is its path or its bytes. */
export function readSafetensors(input: string | Uint8Array): Promise<safetensors.Safetensors> {
  return safetensors.readSafetensors(input, nodePlatform.files);
}

/** Reads a `.pth` file; `input` is its path or its bytes. */
export function readPth(input: string | Uint8Array): Promise<Map<string, Tensor>> {
  return pth.readPth(input, nodePlatform);
}

/** Reads the predictions that a run saved. */
export function loadPredictions(file: string): Promise<predictions.SavedPredictions> {
  return predictions.loadPredictions(file, nodePlatform.files);
}

/** Builds the initial state of training; published weights are downloaded to the cache folder. */
export function initialState(
  artifacts: folder.Artifacts,
  { weights, classes, seed, ...fetching }: NodeInitialStateOptions,
): Promise<initial.InitialState> {
  const options = {
    weights,
    classes,
    seed,
    findPublished: (spec: PretrainedSpec, arch: string) =>
      findPublished(spec, { ...fetching, arch, files: nodePlatform.files }),
    knownManifests: bundledManifests,
  };
  return initial.initialState(artifacts, options, nodePlatform);
}

type NodeInitialStateOptions = FetchOptions &
  Omit<initial.InitialStateOptions, 'findPublished' | 'knownManifests'>;
