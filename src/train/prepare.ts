/** What happens before the first step of a run, new or resumed. */

import { createHash } from 'node:crypto';
import path from 'node:path';
import type { Artifacts } from '../artifacts/open-artifacts.js';
import type { BestResult } from '../checkpoint/checkpoint.js';
import { CheckpointFolder } from '../checkpoint/checkpoint-folder.js';
import {
  TRAIN_DEFAULTS,
  type ResolvedOptions,
  type TrainOptions,
} from '../config/train-options.js';
import type { Team } from '../distributed/process-group.js';
import type { StartEvent, TrainEvent } from '../common/events.js';
import type { RunData } from '../data/open-datasets.js';
import type { DataLoader } from '../data/data-loader.js';
import { openResumePoint, underRanks, type ResumePoint } from '../checkpoint/resume-point.js';
import { FollowingRun, TrainingRun, type RunIdentity } from './training-run.js';
import { RunFolder, type RunConfig } from '../checkpoint/run-folder.js';
import type { TrainSession } from '../session/train-session.js';
import type { State } from '../common/tensor.js';
import { initialState } from '../platform/node/defaults.js';

export type Emit = (event: TrainEvent) => void;

export function warner(emit: Emit): (message: string) => void {
  return (message) => {
    emit({ type: 'warning', message });
  };
}

/** Null for a new run. */
export async function findResumePoint(
  { resume, artifacts }: TrainOptions,
  emit: Emit,
): Promise<ResumePoint | null> {
  return resume === undefined ? null : openResumePoint(resume, artifacts, warner(emit));
}

/** The state to begin with, and for people where it comes from. */
export async function startingState(
  point: ResumePoint | null,
  { weights, seed, signal }: ResolvedOptions,
  artifacts: Artifacts,
  classes: number,
  emit: Emit,
): Promise<{ state: State; source: string }> {
  if (point !== null) return { state: point.state, source: point.file };
  return initialState(artifacts, {
    weights,
    classes,
    seed,
    ...(signal === undefined ? {} : { signal }),
    onProgress: (receivedBytes, totalBytes) => {
      emit({ type: 'fetch', receivedBytes, totalBytes });
    },
  });
}

/** What is in every checkpoint of the run, and the content of config.json. */
export function identify(
  config: ResolvedOptions,
  artifacts: Artifacts,
  { classes, fingerprint }: RunData,
  provider: string,
  ranks: number,
): RunIdentity & { readonly config: RunConfig } {
  const { arch, graphs, preprocessing } = artifacts.manifest;
  // The crops' ranges and the chance of a flip are in no graph.
  const hashes = createHash('sha256').update(JSON.stringify(preprocessing));
  for (const { sha256 } of Object.values(graphs)) hashes.update(sha256);
  return {
    arch,
    classes,
    fingerprints: { data: fingerprint, artifacts: hashes.digest('hex') },
    config: {
      ...describeConfig(config, arch, classes, provider),
      ...(ranks > 1 ? { ranks } : {}),
    },
  };
}

/** Every setting that has a value, and what it was resolved against. Paths are absolute. */
function describeConfig(
  config: ResolvedOptions,
  arch: string,
  classes: readonly string[],
  provider: string,
): RunConfig {
  const { data, artifacts, weights, trainDataset, valDataset } = config;
  const custom = trainDataset !== undefined || valDataset !== undefined;
  const isFile = weights !== 'imagenet' && weights !== 'random';
  return {
    ...config,
    // What is no setting; JSON leaves it out.
    ...{ onEvent: undefined, signal: undefined, resume: undefined },
    ...{ trainDataset: undefined, valDataset: undefined },
    ...(isFile ? { weights: path.resolve(weights) } : {}),
    ...(data === undefined ? {} : { data: path.resolve(data) }),
    ...(artifacts === undefined ? {} : { artifacts: path.resolve(artifacts) }),
    ...(custom ? { customDataset: true } : {}),
    provider,
    arch,
    classes,
  };
}

/** Settings of a rank alone: what the others' are does not matter to it. */
const OWN_SETTINGS = ['weights', 'device', 'workers', 'threads', 'cache', 'cacheMegabytes'];

/** What must be the same on every rank. */
export function sharedSettings(config: ResolvedOptions): Record<string, unknown> {
  const names = Object.keys(TRAIN_DEFAULTS).filter((name) => !OWN_SETTINGS.includes(name));
  return Object.fromEntries(names.map((name) => [name, config[name as keyof ResolvedOptions]]));
}

/** Makes or takes up the run, of this process or of the ranks together. */
export async function openRun(
  team: Team,
  found: ResumePoint | null,
  config: ResolvedOptions,
  session: TrainSession,
  state: State,
  identity: RunIdentity & { readonly config: RunConfig },
  loader: DataLoader,
  emit: Emit,
): Promise<TrainingRun> {
  const { batchSize, dataset, batchCount } = loader;
  const options = { images: dataset.length, batchSize, warn: warner(emit) };
  const point = found && { ...found, run: underRanks(found.run, team.ranks, options) };
  return team.openRun(
    () => openRunFolder(point, config, session, state, identity, batchCount, emit),
    ({ dir, best }) => {
      const [folder, from] = [new RunFolder(dir), point && { ...point.run, best }];
      const checkpoints = new CheckpointFolder(folder.checkpoints, config.keep);
      return new FollowingRun(folder, checkpoints, session, identity, batchCount, from);
    },
  );
}

/** A new run writes a checkpoint of step 0: from here on there is always one to go on from. */
async function openRunFolder(
  point: ResumePoint | null,
  config: ResolvedOptions,
  session: TrainSession,
  state: State,
  identity: RunIdentity & { readonly config: RunConfig },
  stepsPerEpoch: number,
  emit: Emit,
): Promise<TrainingRun> {
  const folder = await RunFolder.create(config.out, identity.config);
  const checkpoints = new CheckpointFolder(folder.checkpoints, config.keep);
  const open = (from: ConstructorParameters<typeof TrainingRun>[5]): TrainingRun =>
    new TrainingRun(folder, checkpoints, session, identity, stepsPerEpoch, from);
  if (point === null) {
    const run = open(null);
    await run.save(state);
    return run;
  }
  const { run: reached, file, runDir } = point;
  await folder.writeMetrics(reached.records);
  if (path.resolve(file) === path.resolve(checkpoints.file('last')))
    checkpoints.markLast(reached.step);
  const best = await repairCheckpoints(point, config, emit);
  const run = open({ ...reached, best });
  if (runDir === null) await run.save(state);
  return run;
}

/**
 * Brings the checkpoints of a run that was killed between two writes to where it would have brought them:
 * the best weights are there, and no more older ones than are to be kept.
 *
 * @returns the best result so far; null, with a warning, if its weights are lost.
 */
export async function repairCheckpoints(
  { run, file }: ResumePoint,
  { out, keep }: ResolvedOptions,
  emit: Emit,
): Promise<BestResult | null> {
  const checkpoints = new CheckpointFolder(new RunFolder(out).checkpoints, keep);
  const best = checkpoints.file('best');
  const beside = path.join(path.dirname(file), path.basename(best));
  const epoch = run.best?.epoch ?? 0;
  const found = epoch > 0 && (await checkpoints.restoreBest(epoch, [file, beside]));
  // Not before: the best weights may have been in one of the older ones.
  await checkpoints.prune(run.step);
  if (found || run.best === null) return run.best;
  warner(emit)(
    `expected the best weights so far, of epoch ${epoch}, in ${best}, found them missing or damaged; ` +
      'the best of the epochs to come will be kept',
  );
  return null;
}

/** For the start event. */
export function resumedFrom(
  point: ResumePoint | null,
  run: TrainingRun,
): Pick<StartEvent, 'resumed'> {
  if (point === null) return {};
  const { epoch, step, best, progress } = run;
  return { resumed: { file: point.file, epoch, step, best, batch: progress.batch } };
}
