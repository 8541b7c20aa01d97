/** Opens the run folder of a run, new or resumed, and tells what its result depends on. */

import path from 'node:path';
import { artifactsFingerprint } from '../artifacts/fingerprint.js';
import type { Artifacts } from '../artifacts/open-artifacts.js';
import { CheckpointFolder } from '../checkpoint/checkpoint-folder.js';
import type { BestResult } from '../checkpoint/checkpoint.js';
import { adaptToWorldSize, type ResumePoint } from '../checkpoint/resume-point.js';
import { RunFolder, type RunConfig } from '../checkpoint/run-folder.js';
import type { Fingerprints } from '../checkpoint/trainer-state.js';
import type { StartEvent } from '../common/events.js';
import { packageInfo } from '../common/node/package-info.js';
import type { State } from '../common/tensor.js';
import type { ResolvedOptions } from '../config/train-options.js';
import type { DataLoader } from '../data/data-loader.js';
import type { RunData } from '../data/open-datasets.js';
import { broadcastJson } from '../distributed/collectives.js';
import type { Platform } from '../platform/platform.js';
import type { TrainSession } from '../session/train-session.js';
import { warner, type RunSetup } from './run-setup.js';
import {
  NO_CHECKPOINTS,
  noMetricsFile,
  TrainingRun,
  type CheckpointStore,
  type MetricsFile,
  type ReachedState,
  type RunIdentity,
} from './training-run.js';

/** The part of a run that is in every checkpoint, with the content of config.json. */
export type IdentityWithConfig = RunIdentity & { readonly config: RunConfig };

/** Returns what identifies a run: its settings, and hashes of the images and graphs that its result depends on. */
export function identify(
  { group, config, platform, point }: RunSetup,
  artifacts: Artifacts,
  { classes, fingerprint }: RunData,
  provider: string,
): IdentityWithConfig {
  const { manifest } = artifacts;
  const { arch } = manifest;
  return {
    arch,
    classes,
    fingerprints: { data: fingerprint, ...graphsOf(artifacts, point, platform) },
    config: {
      ...describeConfig(config),
      provider,
      arch,
      classes,
      ...(group.size > 1 ? { ranks: group.size } : {}),
    },
  };
}

/** Returns the record of the graphs, and of those that a resumed run was begun on if they are others. */
function graphsOf(
  { manifest }: Artifacts,
  point: ResumePoint | null,
  { sha256 }: Pick<Platform, 'sha256'>,
): Omit<Fingerprints, 'data'> {
  const { version } = packageInfo();
  const now = { artifacts: artifactsFingerprint(manifest, sha256()), version };
  if (point === null) return now;
  const { begunOn, artifacts: then, version: thenVersion } = point.run.fingerprints;
  const own = thenVersion === undefined ? {} : { version: thenVersion };
  const first = begunOn ?? { artifacts: then, ...own };
  return first.artifacts === now.artifacts ? now : { ...now, begunOn: first };
}

/** Returns every setting that has a value. Paths are absolute. */
function describeConfig(config: ResolvedOptions): Record<string, unknown> {
  const { data, artifacts, weights, trainDataset, valDataset } = config;
  const custom = trainDataset !== undefined || valDataset !== undefined;
  const isFile = weights !== 'imagenet' && weights !== 'random';
  return {
    ...config,
    // These are not settings. JSON leaves out what is undefined.
    ...{ onEvent: undefined, signal: undefined, resume: undefined },
    ...{ trainDataset: undefined, valDataset: undefined },
    ...(isFile ? { weights: path.resolve(weights) } : {}),
    ...(data === undefined ? {} : { data: path.resolve(data) }),
    ...(artifacts === undefined ? {} : { artifacts: path.resolve(artifacts) }),
    ...(custom ? { customDataset: true } : {}),
  };
}

export interface OpenRunInputs {
  readonly session: TrainSession;
  /** The state that the run begins with. */
  readonly state: State;
  readonly identity: IdentityWithConfig;
  readonly trainLoader: DataLoader;
}

/** Creates or takes up the run. Rank 0 opens the run folder; the other ranks follow without writing anything. */
export async function openRun(setup: RunSetup, inputs: OpenRunInputs): Promise<TrainingRun> {
  const { group, config, emit } = setup;
  const { session, identity, trainLoader } = inputs;
  const { batchSize, length, batchCount } = trainLoader;
  const options = { images: length, batchSize, warn: warner(emit) };
  const point = setup.point && {
    ...setup.point,
    run: adaptToWorldSize(setup.point.run, group.size, options),
  };
  const { saveEvery } = config;
  const fixed = { session, identity, stepsPerEpoch: batchCount, saveEvery };
  const open: OpenTrainingRun = (metrics, checkpoints, from) =>
    new TrainingRun({ ...fixed, metrics, checkpoints }, from);
  const own = group.isMain ? await openRunFolder({ ...setup, point }, inputs, open) : null;
  const { dir, best } = await broadcastJson(group, {
    dir: own?.dir ?? '',
    best: own?.best ?? null,
  });
  return own ?? open(noMetricsFile(dir), NO_CHECKPOINTS, point && { ...point.run, best });
}

type OpenTrainingRun = (
  metrics: MetricsFile,
  checkpoints: CheckpointStore,
  from: ReachedState | null,
) => TrainingRun;

/** Opens the run folder. A new run writes a checkpoint of step 0, so that there is always one to go on from. */
async function openRunFolder(
  { platform, point, config, lock, emit }: RunSetup,
  { state, identity }: OpenRunInputs,
  open: OpenTrainingRun,
): Promise<TrainingRun> {
  const folder = await RunFolder.create(config.out, identity.config);
  const checkpoints = new CheckpointFolder(folder.checkpoints, config.keep, platform);
  const guarded = guardedBy(lock, checkpoints);
  if (point === null) {
    const run = open(folder, guarded, null);
    await run.save(state);
    return run;
  }
  const { run: reached, file, runDir } = point;
  await folder.writeMetrics(reached.records);
  if (path.resolve(file) === path.resolve(checkpoints.file('last'))) {
    checkpoints.markLast(reached.step);
  }
  const best = await repairCheckpoints(point, { platform, config, emit });
  const run = open(folder, guarded, { ...reached, best });
  if (runDir === null) await run.save(state);
  return run;
}

/** Returns a store that writes only while the run folder belongs to this process. */
function guardedBy(lock: RunSetup['lock'], store: CheckpointStore): CheckpointStore {
  return {
    save: async (checkpoint) => {
      await lock?.check();
      await store.save(checkpoint);
    },
    saveBest: async (checkpoint) => {
      await lock?.check();
      await store.saveBest(checkpoint);
    },
  };
}

/**
 * Repairs the checkpoints of a run that was killed between two writes: the best weights are there, and no more older
 * checkpoints than are to be kept.
 *
 * @returns the best result so far; null, with a warning, if its weights are lost.
 */
export async function repairCheckpoints(
  { run, file }: ResumePoint,
  { platform, config, emit }: Pick<RunSetup, 'platform' | 'config' | 'emit'>,
): Promise<BestResult | null> {
  const folder = new RunFolder(config.out);
  const checkpoints = new CheckpointFolder(folder.checkpoints, config.keep, platform);
  const best = checkpoints.file('best');
  const beside = path.join(path.dirname(file), path.basename(best));
  const epoch = run.best?.epoch ?? 0;
  const found = epoch > 0 && (await checkpoints.restoreBest(epoch, [file, beside]));
  // Only now: an older checkpoint may have held the best weights.
  await checkpoints.prune(run.step);
  if (found || run.best === null) return run.best;
  warner(emit)(
    `expected the best weights so far, of epoch ${epoch}, in ${best}, found them missing or damaged; ` +
      'the best of the epochs to come will be kept',
  );
  return null;
}

/** Returns where the run goes on, for the start event. */
export function resumedFrom(
  point: ResumePoint | null,
  run: TrainingRun,
): Pick<StartEvent, 'resumed'> {
  if (point === null) return {};
  const { epoch, globalStep, best, epochProgress } = run;
  const { file } = point;
  return { resumed: { file, epoch, step: globalStep, best, batch: epochProgress.batch } };
}
