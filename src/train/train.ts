/** Fine-tuning, start to finish. The loop reads top to bottom; each step of it is a file of its own. */

import path from 'node:path';
import { bundledArtifacts } from '../artifacts/node/bundled-artifacts.js';
import { openArtifacts } from '../platform/node/defaults.js';
import type { Artifacts } from '../artifacts/open-artifacts.js';
import type { BestResult } from '../checkpoint/checkpoint.js';
import {
  resolveTrainOptions,
  type Naming,
  type ResolvedOptions,
  type TrainOptions,
} from '../config/train-options.js';
import type { Dataset } from '../data/dataset.js';
import { checkSameRun, writeDataFiles } from '../checkpoint/data-manifest.js';
import { openDevice } from '../devices/choose-device.js';
import { openTeam, type InitialState, type Team } from '../distributed/process-group.js';
import { trainEpoch, type OnBatch, type EpochMetrics } from './train-epoch.js';
import { InterruptedError, WeightsError } from '../common/errors.js';
import { evaluate } from './validate.js';
import type { PhaseRecord, TrainResult } from '../common/events.js';
import { DataLoader } from '../data/data-loader.js';
import { LoaderPool } from '../images/worker-pool.js';
import type { Platform } from '../platform/platform.js';
import { ImageCache } from '../images/image-cache.js';
import { isFinished, isStalled, type ResumePoint } from '../checkpoint/resume-point.js';
import { resumedOptions } from '../checkpoint/resume-settings.js';
import type { TrainingRun } from './training-run.js';
import { RunFolder } from '../checkpoint/run-folder.js';
import type { RunReport } from '../report/run-report.js';
import { scheduledLr } from './lr-schedule.js';
import type { OrtWorker } from '../session/ort-worker.js';
import { TrainSession } from '../session/train-session.js';
import {
  findResumePoint,
  identify,
  openRun,
  resumedFrom,
  sharedSettings,
  startingState,
  repairCheckpoints,
  warner,
  type Emit,
} from './prepare.js';
import { graphForProvider, trainingGraph } from '../session/training-graph.js';

/** What the epochs work with. */
interface Workshop {
  readonly team: Team;
  readonly config: ResolvedOptions;
  readonly artifacts: Artifacts;
  readonly runtime: OrtWorker;
  readonly session: TrainSession;
  readonly trainLoader: DataLoader;
  readonly valLoader: DataLoader;
  readonly classes: readonly string[];
  readonly classWeights: readonly number[] | undefined;
  readonly signal: AbortSignal | undefined;
  /** Of the rank that leads. */
  readonly report: RunReport | null;
  readonly emit: Emit;
}

/**
 * Fine-tunes a network: `epochs` times a pass over the training images and one over the validation
 * images, the learning rate scheduled by epochs, the best weights kept (by validation accuracy, then by
 * lower loss). A run that was stopped or killed goes on with `resume`; on CPU it ends with the same bits
 * as one that was not.
 *
 * @param naming how messages name an option.
 * @returns where the best checkpoint is and how good it was.
 * @throws UserError (one of errors.ts) for everything that is the caller's to mend.
 */
export async function train(
  options: TrainOptions,
  naming: Naming,
  platform: Platform,
): Promise<TrainResult> {
  const team = await openTeam();
  return team.during(() => trainWith(team, options, naming, platform));
}

async function trainWith(
  team: Team,
  options: TrainOptions,
  naming: Naming,
  platform: Platform,
): Promise<TrainResult> {
  const emit: Emit = (team.leads ? options.onEvent : undefined) ?? (() => undefined);
  const point = await team.resumePoint(() => findResumePoint(options, emit), options.artifacts);
  const config = resolveTrainOptions(
    point === null ? options : resumedOptions(point, options, naming),
    naming,
  );
  await team.agree(sharedSettings(config));
  if (point !== null && isFinished(point.run, config)) {
    const result = await finishedBefore(point, config, team, emit);
    emit({ type: 'end', result, before: true });
    return result;
  }
  const artifacts =
    point?.artifacts ?? (await openArtifacts(config.artifacts ?? bundledArtifacts(config.arch)));
  const { images, ort } = platform;
  const pool = new LoaderPool({ artifacts, images, workers: config.workers });
  const signal = team.signal(config.signal);
  let runtime: OrtWorker | null = null;
  let run: TrainingRun | null = null;
  try {
    // First: that a device is not there should show before images and weights have taken their time.
    const device = await openDevice(config.device, team.threads(config.threads), artifacts, ort);
    ({ runtime } = device);
    const { provider } = runtime;
    if (team.ranks === 1) TrainSession.prepare(runtime, artifacts, trainingGraph(config));
    // Loads sharp, slowly; the runtime is at its graph meanwhile.
    const { openData } = await import('../data/open-datasets.js');
    const data = await team.oncePerHost(() => openData(config, pool, emit));
    const { classes, classWeights } = data;
    const identity = identify(config, artifacts, data, provider, team.ranks);
    await team.agree({ classes, provider, ...identity.fingerprints });
    if (point !== null && team.leads) await checkSameRun(point, { ...identity, provider }, data);
    const start = (): Promise<InitialState> =>
      startingState(point, config, artifacts, classes.length, emit);
    // Read while the runtime still optimises the graph.
    const { state, source } = await team.startingState(start, artifacts, classes.length);
    const session = await team.openSession(runtime, artifacts, classes.length, config);
    const cache = config.cache === 'ram' ? new ImageCache(config.cacheMegabytes * 1e6) : undefined;
    const { batchSize, seed } = config;
    const shared = { artifacts, pool, batchSize, seed, cache, ...team.shard };
    const trainLoader = new DataLoader({ ...shared, dataset: data.train, mode: 'train' });
    const valLoader = new DataLoader({ ...shared, dataset: data.val, mode: 'evaluate' });
    config.signal?.throwIfAborted();
    const loaded = session.setState(state);
    // Awaited below; should what is in between fail, that is what is told.
    loaded.catch(() => undefined);
    run = await openRun(team, point, config, session, state, identity, trainLoader, emit);
    await loaded;
    // The runtime has it, and a checkpoint: no third copy is kept through the run.
    state.clear();
    if (team.leads) await writeDataFiles(run.folder, data);
    emit({
      type: 'start',
      device: provider,
      deviceReason: device.reason,
      classes,
      trainImages: data.train.length,
      valImages: data.val.length,
      weightsSource: source,
      ...team.description,
      runDir: run.folder.dir,
      ...resumedFrom(point, run),
    });
    const page = { dir: run.folder.dir, artifacts, pool, ...data, device: provider };
    const { epochs } = config;
    const shown = { ...page, epochs, seed, settings: identity.config, warn: warner(emit) };
    const { RunReport } = await import('../report/run-report.js');
    const report = team.leads ? new RunReport(shown, run) : null;
    const parts = { team, config, artifacts, runtime, session, trainLoader, valLoader, report };
    const fitting = fit(run, { ...parts, classes, classWeights, signal, emit });
    await (report?.during(fitting) ?? fitting);
    const result = toResult(run.folder.dir, run.best);
    emit({ type: 'end', result });
    return result;
  } catch (error) {
    if (run !== null) throw await run.stopped(error, signal);
    throw config.signal?.aborted === true ? new InterruptedError(null, 0) : error;
  } finally {
    await pool.close();
    await runtime?.close();
  }
}

/** Nothing is left to do but what a kill in the very last writes kept from being done. */
async function finishedBefore(
  point: ResumePoint,
  config: ResolvedOptions,
  team: Team,
  emit: Emit,
): Promise<TrainResult> {
  const { file, run, runDir } = point;
  if (runDir === null) return { ...toResult(path.dirname(file), run.best), checkpoint: file };
  if (!team.leads) return toResult(runDir, run.best);
  await new RunFolder(runDir).sweep();
  return toResult(runDir, await repairCheckpoints(point, config, emit));
}

/** The epochs that are left. */
async function fit(run: TrainingRun, workshop: Workshop): Promise<void> {
  const { team, config, artifacts, runtime, session, trainLoader, valLoader } = workshop;
  const { classes, classWeights, report, signal, emit } = workshop;
  const { saveEvery } = config;
  const graph = graphForProvider(runtime.provider, trainingGraph(config));
  const groupSize = team.stepsPerCall(config.batchSize, graph);
  const sizes = {
    classes: classes.length,
    inputSize: artifacts.manifest.preprocessing.inputSize,
  };
  const alone = team.validationSignal(signal);
  const save = (): Promise<void> => run.save();
  const names = (indices: Uint32Array): Promise<string[]> =>
    imageNames(trainLoader.dataset, indices);

  while (run.epoch < config.epochs && !isStalled(run, config.earlyStop)) {
    const { epoch, progress, firstStep } = run;
    const lr = scheduledLr(config.lr, epoch, config);
    const headLr = scheduledLr(config.headLr || config.lr, epoch, config);
    const settings = { ...config, lr, headLr, classWeights, classes: classes.length };
    const batches = trainLoader.epoch(epoch, { shuffle: true, startBatch: progress.batch });
    const onTrain = reporter(emit, config, epoch, 'train', trainLoader.batchCount);
    const { reduce } = team;
    const place = { progress, firstStep, saveEvery, save, signal, imageNames: names, reduce };
    const trained = await trainEpoch(
      session,
      trainLoader,
      batches,
      groupSize,
      settings,
      onTrain,
      place,
    );
    const trainRecord = { ...toRecord(epoch, 'train', lr, trained), ...team.times(session) };
    await run.record(trainRecord);
    emit({ type: 'phase', record: trainRecord });

    // Not needed before the first step, and slow to load.
    const { buildInferenceModel } = await import('../onnx/inference-model.js');
    await team.shareState(session);
    // For the checkpoint it is copied again, rather than kept beside the model meanwhile.
    const model = await buildInferenceModel(artifacts, await session.getWeights(), { classes });
    const images = valLoader.epoch(epoch, { shuffle: false });
    const onVal = reporter(emit, config, epoch, 'val', valLoader.batchCount);
    const own = await evaluate(runtime, model, valLoader, images, sizes, onVal, alone);
    const validated = await team.gather(own, valLoader.dataset.length);
    const valRecord = toRecord(epoch, 'val', lr, validated);
    await run.finishEpoch(await session.getState(), valRecord);
    await report?.epoch(run, validated.predictions);
    emit({ type: 'phase', record: valRecord });
  }
}

function reporter(
  emit: Emit,
  { epochs }: ResolvedOptions,
  epoch: number,
  phase: 'train' | 'val',
  batches: number,
): OnBatch {
  return (batch, meter, seconds) => {
    emit({
      type: 'step',
      epoch: epoch + 1,
      epochs,
      phase,
      batch,
      batches,
      loss: meter.loss,
      accuracy: meter.accuracy,
      imagesPerSecond: meter.images / seconds,
    });
  };
}

function toRecord(
  epoch: number,
  phase: 'train' | 'val',
  lr: number,
  pass: EpochMetrics,
): PhaseRecord {
  const { meter, seconds, dataWaitSeconds } = pass;
  const { loss, accuracy, images } = meter;
  return { epoch: epoch + 1, phase, loss, accuracy, lr, images, seconds, dataWaitSeconds };
}

async function imageNames(dataset: Dataset, indices: Uint32Array): Promise<string[]> {
  const names: string[] = [];
  for (const index of indices) {
    const { image } = await dataset.get(index);
    names.push(typeof image === 'string' ? image : `sample ${index}`);
  }
  return names;
}

function toResult(runDir: string, best: BestResult | null): TrainResult {
  if (best === null) throw new WeightsError(`expected the best weights of ${runDir}, found none`);
  return {
    runDir,
    bestEpoch: best.epoch,
    bestAccuracy: best.accuracy,
    bestLoss: best.loss,
    checkpoint: new RunFolder(runDir).checkpoint('best'),
  };
}
