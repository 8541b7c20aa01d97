/**
 * Checkpoints: one safetensors file with the whole training state under torchvision's names (momentum as
 * `momentum.<name>`), so that any safetensors reader can use it. The file's metadata hold the state of the
 * run: everything needed to go on, bit for bit.
 */

import type { Manifest } from '../artifacts/manifest.js';
import { requireTensor, stateLayout } from '../artifacts/state-layout.js';
import { TrainingError, WeightsError } from '../common/errors.js';
import { allFinite, type State, type Tensor } from '../common/tensor.js';
import type { Hash, Platform } from '../platform/platform.js';
import { checkValues } from '../weights/check-values.js';
import { encodeSafetensors, readSafetensors } from '../weights/safetensors.js';
import {
  FORMAT,
  parseRun,
  type BestResult,
  type Fingerprints,
  type GraphsRecord,
  type PartialEpoch,
  type TrainerState,
} from './trainer-state.js';

export type { BestResult, Fingerprints, GraphsRecord, PartialEpoch, TrainerState };

/** The host's parts that checkpoints are read and written with. */
export type CheckpointPlatform = Pick<Platform, 'files' | 'sha256'>;

/** Content of a checkpoint file. */
export interface Checkpoint {
  readonly state: State;
  readonly run: TrainerState;
}

/**
 * Writes a checkpoint whole or not at all. The state must not change until it is written.
 *
 * @throws TrainingError if a tensor is not finite: training could not go on from there.
 * @throws UserError if it cannot be written.
 */
export async function saveCheckpoint(
  file: string,
  { state, run }: Checkpoint,
  { files, sha256 }: CheckpointPlatform,
): Promise<void> {
  for (const [name, tensor] of state) {
    if (allFinite(tensor)) continue;
    throw new TrainingError(
      `expected finite values in ${name} after step ${run.step}, found NaN or infinity; no checkpoint was ` +
        'written, the ones before are kept; start again with a lower --lr',
    );
  }
  const { arch, classes, epoch, step, best, partial, records, fingerprints, config } = run;
  const metadata = {
    format: FORMAT,
    arch,
    classes: JSON.stringify(classes),
    progress: JSON.stringify({ epoch, step, partial, best }),
    metrics: JSON.stringify(records),
    fingerprints: JSON.stringify(fingerprints),
    config: JSON.stringify(config ?? null),
  };
  const hash = checksum(state, metadata, sha256());
  await files.write(file, encodeSafetensors(state, { ...metadata, sha256: hash }));
}

/** Computes the hash of the file as it would be without the hash in its metadata. */
function checksum(
  tensors: ReadonlyMap<string, Tensor>,
  metadata: Readonly<Record<string, string>>,
  hash: Hash,
): string {
  for (const chunk of encodeSafetensors(tensors, metadata)) hash.update(chunk);
  return hash.digest();
}

/** A checkpoint whose tensors have not been compared with a network's. */
export interface RawCheckpoint {
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly run: TrainerState;
}

/**
 * Reads a checkpoint and verifies its checksum.
 *
 * @throws WeightsError if it is missing or damaged, or is not a checkpoint.
 */
export async function readCheckpoint(
  file: string,
  platform: CheckpointPlatform,
): Promise<RawCheckpoint> {
  const { tensors, metadata } = await readSafetensors(file, platform.files);
  const run = parseRun(file, metadata);
  const { sha256, ...rest } = Object.fromEntries(metadata);
  if (checksum(tensors, rest, platform.sha256()) !== sha256) {
    throw new WeightsError(
      `expected ${file} as it was written, found that its checksum is wrong; it is damaged, use another checkpoint`,
    );
  }
  return { tensors, run };
}

/**
 * Checks that a checkpoint has exactly the tensors the manifest asks for, with finite values.
 *
 * @throws WeightsError if it belongs to another network, or a value is not finite.
 */
export function checkState(
  { tensors, run }: RawCheckpoint,
  manifest: Manifest,
  file: string,
): State {
  if (run.arch !== manifest.arch) {
    throw new WeightsError(
      `expected a checkpoint of ${manifest.arch} in ${file}, found one of ${run.arch}; use the artifacts it was trained with`,
    );
  }
  const state: State = new Map();
  for (const entry of stateLayout(manifest, run.classes.length)) {
    state.set(entry.name, requireTensor(tensors, entry, manifest.arch, file));
  }
  checkValues(state, file);
  for (const name of tensors.keys()) {
    if (state.has(name)) continue;
    throw new WeightsError(
      `expected only tensors of ${manifest.arch} in ${file}, found ${name}; use the artifacts it was trained with`,
    );
  }
  return state;
}

/**
 * Reads a checkpoint and checks that it has exactly the tensors the manifest asks for.
 *
 * @throws WeightsError if it is missing or damaged, is not a checkpoint, or belongs to another network.
 */
export async function loadCheckpoint(
  file: string,
  manifest: Manifest,
  platform: CheckpointPlatform,
): Promise<Checkpoint> {
  const raw = await readCheckpoint(file, platform);
  return { state: checkState(raw, manifest, file), run: raw.run };
}
