/**
 * Checkpoints: one safetensors file with the whole training state under torchvision's names (momentum beside
 * it as `momentum.<name>`), so that any safetensors reader can use it, and the run in its metadata: all that
 * is needed to go on, bit for bit.
 */

import { createHash } from 'node:crypto';
import type { Manifest } from '../artifacts/open-artifacts.js';
import { TrainingError, WeightsError } from '../common/errors.js';
import { writeFileAtomic } from '../platform/node/files.js';
import {
  FORMAT,
  parseRun,
  type BestResult,
  type PartialEpoch,
  type TrainerState,
} from './trainer-state.js';
import { encodeSafetensors, readSafetensors } from '../weights/safetensors.js';
import { stateLayout, requireTensor } from '../artifacts/state-layout.js';
import { allFinite, type State, type Tensor } from '../common/tensor.js';

export type { BestResult, PartialEpoch, TrainerState };

/** What a checkpoint file holds. */
export interface Checkpoint {
  readonly state: State;
  readonly run: TrainerState;
}

/**
 * Writes a checkpoint whole or not at all. The state must not change until it is written.
 *
 * @throws TrainingError if a tensor is not finite: nobody could go on from there.
 * @throws UserError if it cannot be written.
 */
export async function saveCheckpoint(file: string, { state, run }: Checkpoint): Promise<void> {
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
  const sha256 = checksum(state, metadata);
  await writeFileAtomic(file, encodeSafetensors(state, { ...metadata, sha256 }));
}

/** Hash of the file as it would be without the hash in it. */
function checksum(
  tensors: ReadonlyMap<string, Tensor>,
  metadata: Readonly<Record<string, string>>,
): string {
  const hash = createHash('sha256');
  for (const chunk of encodeSafetensors(tensors, metadata)) hash.update(chunk);
  return hash.digest('hex');
}

/** A checkpoint whose tensors have not been compared with a network's. */
export interface RawCheckpoint {
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly run: TrainerState;
}

/**
 * Reads a checkpoint and verifies its checksum.
 *
 * @throws WeightsError if it is missing or damaged, or is no checkpoint.
 */
export async function readCheckpoint(file: string): Promise<RawCheckpoint> {
  const { tensors, metadata } = await readSafetensors(file);
  const run = parseRun(file, metadata);
  const { sha256, ...rest } = Object.fromEntries(metadata);
  if (checksum(tensors, rest) !== sha256) {
    throw new WeightsError(
      `expected ${file} as it was written, found that its checksum is wrong; it is damaged, use another checkpoint`,
    );
  }
  return { tensors, run };
}

/**
 * Checks that a checkpoint has exactly the tensors the manifest asks for.
 *
 * @throws WeightsError if it is one of another network.
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
 * @throws WeightsError if it is missing or damaged, is no checkpoint, or is one of another network.
 */
export async function loadCheckpoint(file: string, manifest: Manifest): Promise<Checkpoint> {
  const raw = await readCheckpoint(file);
  return { state: checkState(raw, manifest, file), run: raw.run };
}
