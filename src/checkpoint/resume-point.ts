/** Finds the checkpoint that an earlier run goes on from. */

import { existsSync, readdirSync, statSync, type Stats } from 'node:fs';
import path from 'node:path';
import { openNetwork } from '../artifacts/node/bundled-artifacts.js';
import type { ArtifactPlatform, Artifacts } from '../artifacts/open-artifacts.js';
import { checkState, readCheckpoint, type TrainerState } from './checkpoint.js';
import { CheckpointFolder } from './checkpoint-folder.js';
import { CHECKPOINTS } from './run-folder.js';
import type { TrainOptions } from '../config/train-options.js';
import { ConfigError, WeightsError } from '../common/errors.js';
import type { State } from '../common/tensor.js';
import type { ExifUse } from '../platform/platform.js';

/** A checkpoint to go on from. */
export interface ResumePoint {
  /** Path of the checkpoint. */
  readonly file: string;
  readonly run: TrainerState;
  readonly state: State;
  readonly artifacts: Artifacts;
  /** Folder of the run; null for a file outside a run folder. */
  readonly runDir: string | null;
}

export type StoredSettings = Readonly<Partial<Record<keyof TrainOptions, unknown>>>;
type Warn = (message: string) => void;

/** The place that `resume` names. */
export interface ResumePlace {
  /** A run folder, or a checkpoint. */
  readonly target: string;
  readonly isFolder: boolean;
  /** Folder of the run; null for a file outside a run folder. */
  readonly runDir: string | null;
}

/**
 * Finds the run folder or the checkpoint that `resume` names. `true` stands for the newest run in `runs`.
 *
 * @throws ConfigError if there is no such file or run.
 */
export function findResumePlace(resume: unknown): ResumePlace {
  const target = resume === true ? newestRun('runs') : String(resume);
  const found = statusOf(target);
  if (found === null) {
    throw new ConfigError(
      `expected a run folder or a checkpoint to resume from, found nothing at ${path.resolve(target)}; check the path`,
    );
  }
  if (found.isDirectory()) return { target, isFolder: true, runDir: target };
  const above = path.dirname(path.dirname(path.resolve(target)));
  const inRun =
    path.basename(path.dirname(path.resolve(target))) === CHECKPOINTS &&
    existsSync(path.join(above, 'config.json'));
  return { target, isFolder: false, runDir: inRun ? path.relative('', above) || '.' : null };
}

/**
 * Reads a checkpoint file, or the newest good checkpoint of a run folder.
 *
 * @param artifacts artifact folder; default: the one of the run.
 * @param warn called for each damaged checkpoint that was passed over.
 * @throws WeightsError if the file, or every checkpoint of the run, is damaged.
 */
export async function openResumePoint(
  { target, isFolder, runDir }: ResumePlace,
  artifacts: string | undefined,
  warn: Warn,
  platform: ArtifactPlatform,
): Promise<ResumePoint> {
  return isFolder
    ? newestGood(target, artifacts, warn, platform)
    : load(target, runDir, artifacts, platform);
}

/** Returns whether there are checkpoints that a run could go on from, good or not. */
export function hasCheckpoints({ runDir }: ResumePlace): boolean {
  return runDir !== null && statusOf(path.join(runDir, CHECKPOINTS))?.isDirectory() === true;
}

/** Returns null if there is nothing; also for a path that treats a file as a folder. */
function statusOf(file: string): Stats | null {
  try {
    return statSync(file);
  } catch {
    return null;
  }
}

/** Returns the run in `parent` whose checkpoints were written last. */
function newestRun(parent: string): string {
  const runs = (existsSync(parent) ? readdirSync(parent) : []).flatMap((name) => {
    const dir = path.join(parent, name);
    const found = statusOf(path.join(dir, CHECKPOINTS));
    return found === null ? [] : [{ dir, time: found.mtimeMs }];
  });
  const newest = runs.sort((a, b) => b.time - a.time)[0];
  if (newest !== undefined) return newest.dir;
  throw new ConfigError(
    `expected a run to resume in ${path.resolve(parent)}, found none; give its folder after --resume`,
  );
}

async function newestGood(
  runDir: string,
  artifacts: string | undefined,
  warn: Warn,
  platform: ArtifactPlatform,
): Promise<ResumePoint> {
  const folder = new CheckpointFolder(path.join(runDir, CHECKPOINTS), 1, platform);
  const files = await folder.candidates();
  let newest: ResumePoint | null = null;
  for (const file of files) {
    try {
      const point = await load(file, runDir, artifacts, platform);
      if (newest === null || point.run.step > newest.run.step) newest = point;
    } catch (error) {
      if (!(error instanceof WeightsError)) throw error;
      warn(`${error.message} (passed over)`);
    }
    // `last` is newer than all others, so they need not be read.
    if (newest?.file === folder.file('last')) break;
  }
  if (newest !== null) return newest;
  throw new WeightsError(
    files.length === 0
      ? `expected a checkpoint in ${runDir}, found none: the run ended before its first one, or this is ` +
          'no run folder; start it again without --resume'
      : `expected a checkpoint in ${runDir}, found only damaged ones; restore one, or start again without --resume`,
  );
}

async function load(
  file: string,
  runDir: string | null,
  givenArtifacts: string | undefined,
  platform: ArtifactPlatform,
): Promise<ResumePoint> {
  const raw = await readCheckpoint(file, platform);
  const artifacts = await openRunArtifacts(raw.run, givenArtifacts, platform);
  const state = checkState(raw, artifacts.manifest, file);
  return { file, run: raw.run, state, artifacts, runDir };
}

/** Opens the artifacts that are given, or else those that the run was trained with. */
export async function openRunArtifacts(
  run: TrainerState,
  given: string | undefined,
  platform: ArtifactPlatform,
): Promise<Artifacts> {
  const stored = settingsOf(run);
  const own = typeof stored.artifacts === 'string' ? stored.artifacts : undefined;
  return openNetwork(
    { arch: run.arch, inputSize: inputSizeOf(stored), artifacts: given ?? own },
    platform,
  );
}

/** Returns the input size that a run was asked for; undefined if it has that of its network. */
export function inputSizeOf({ inputSize }: StoredSettings): number | undefined {
  return typeof inputSize === 'number' ? inputSize : undefined;
}

/** Returns the settings that a checkpoint stores; empty if it stores none. */
export function settingsOf({ config }: TrainerState): StoredSettings {
  return typeof config === 'object' && config !== null ? config : {};
}

/** Returns the use of the EXIF orientation that a run was trained with. Runs of versions without a choice ignored it. */
export function exifOf(run: TrainerState): ExifUse {
  return settingsOf(run).exif === 'apply' ? 'apply' : 'ignore';
}

/**
 * Returns where a run goes on with another number of ranks. The epoch under way has seen the first
 * `batch * batchSize * ranks` samples of its order, whichever rank saw which. It goes on after them, or a little before
 * if they do not fill whole steps of the new number of ranks.
 *
 * @param images number of training images.
 */
export function adaptToWorldSize(
  run: TrainerState,
  ranks: number,
  { images, batchSize, warn }: { images: number; batchSize: number; warn: Warn },
): TrainerState {
  const stored = (settingsOf(run) as { ranks?: unknown }).ranks;
  const before = typeof stored === 'number' ? stored : 1;
  if (before === ranks) return run;
  warn(
    `the run had ${before} rank${before === 1 ? '' : 's'} and goes on with ${ranks}: a step now holds ` +
      `${batchSize * ranks} images instead of ${batchSize * before}, in another order; the result is not ` +
      'that of a run that was never stopped',
  );
  if (run.partial === null) return run;
  const seen = run.partial.batch * batchSize * before;
  const stepsPerEpoch = Math.ceil(Math.ceil(images / ranks) / batchSize);
  const batch = seen >= images ? stepsPerEpoch : Math.floor(seen / (batchSize * ranks));
  return { ...run, partial: { ...run.partial, batch } };
}
