/** Loads the weights of an earlier run, and the artifacts they belong to. */

import { openNetwork } from '../artifacts/node/bundled-artifacts.js';
import type { ArtifactPlatform, Artifacts } from '../artifacts/open-artifacts.js';
import { loadCheckpoint, type TrainerState } from './checkpoint.js';
import { ArtifactError, WeightsError } from '../common/errors.js';
import { shellWord } from '../common/text.js';
import type { Files } from '../platform/platform.js';
import { inputSizeOf } from './resume-point.js';
import { RunFolder, type CheckpointName, type RunConfig } from './run-folder.js';
import type { State } from '../common/tensor.js';

export interface RunWeightsOptions {
  /** Run folder. */
  readonly run: string;
  readonly checkpoint: CheckpointName;
  /** Artifact folder. Default: the one the run was trained with. */
  readonly artifacts?: string | undefined;
}

export interface RunWeights {
  readonly folder: RunFolder;
  readonly config: RunConfig;
  readonly artifacts: Artifacts;
  readonly state: State;
  readonly run: TrainerState;
}

/**
 * Opens a run folder and reads one of its checkpoints.
 *
 * @throws ConfigError if there is no run folder; ArtifactError if the artifacts are not the run's;
 *   WeightsError if the checkpoint is missing or damaged.
 */
export async function openRunWeights(
  options: RunWeightsOptions,
  platform: ArtifactPlatform,
): Promise<RunWeights> {
  const { folder, config } = await RunFolder.open(options.run);
  const trainedWith = typeof config.artifacts === 'string' ? config.artifacts : undefined;
  const choice = { arch: config.arch, inputSize: inputSizeOf(config) };
  const dir = options.artifacts ?? trainedWith;
  const artifacts = await openNetwork({ ...choice, artifacts: dir }, platform);
  if (artifacts.manifest.arch !== config.arch) {
    throw new ArtifactError(
      `expected artifacts of ${config.arch}, got ${artifacts.manifest.arch} in ${artifacts.dir}; give those the run was trained with`,
    );
  }
  const file = folder.checkpoint(options.checkpoint);
  await checkHasBest(folder, options.checkpoint, platform.files);
  const { state, run } = await loadCheckpoint(file, artifacts.manifest, platform);
  return { folder, config, artifacts, state, run };
}

/** @throws WeightsError if the best weights are asked for and a run has only its latest ones. */
async function checkHasBest(folder: RunFolder, name: CheckpointName, files: Files): Promise<void> {
  const best = folder.checkpoint('best');
  if (name !== 'best' || (await files.exists(best))) return;
  if (!(await files.exists(folder.checkpoint('last')))) return;
  throw new WeightsError(
    `expected the best weights of the run ${folder.dir} in ${best}, found that it has none yet: it ended before its ` +
      `first validation; use --checkpoint last, or go on with "train --resume ${shellWord(folder.dir)}"`,
  );
}
