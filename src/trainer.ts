/** Fine-tuning, start to finish. The loop reads top to bottom; each step of it is a file of its own. */

import path from 'node:path';
import { bundledArtifacts, openArtifacts, type Artifacts } from './artifacts.js';
import { saveCheckpoint, type BestResult, type RunState } from './checkpoint.js';
import { resolveTrainOptions, type ResolvedOptions, type TrainOptions } from './config.js';
import { ImageFolder, type Dataset } from './dataset.js';
import { openDevice } from './device.js';
import { stepsPerCall, trainEpoch, type OnBatch, type Pass } from './epoch.js';
import { DatasetError } from './errors.js';
import { evaluate } from './evaluate.js';
import type { PhaseRecord, TrainEvent, TrainResult } from './events.js';
import { buildInferenceModel } from './export.js';
import { DataLoader } from './loader.js';
import { LoaderPool } from './loader-pool.js';
import { RunFolder } from './run-folder.js';
import { stepLr } from './schedule.js';
import { TrainSession } from './session.js';
import { initialState } from './weights.js';

/**
 * Fine-tunes a network: `epochs` times a pass over the training images and one over the validation
 * images, the learning rate falling by StepLR, the best weights kept (by validation accuracy, then by
 * lower loss).
 *
 * @returns where the best checkpoint is and how good it was.
 * @throws UserError (one of errors.ts) for everything that is the caller's to mend.
 */
export async function train(options: TrainOptions): Promise<TrainResult> {
  const config = resolveTrainOptions(options);
  const emit = config.onEvent ?? (() => undefined);
  const artifacts = await openArtifacts(config.artifacts ?? bundledArtifacts());
  const data = await openDatasets(config);
  const { classes } = data.train;
  const { state, source } = await initialState(artifacts, {
    weights: config.weights,
    classes: classes.length,
    seed: config.seed,
    onProgress: (receivedBytes, totalBytes) => {
      emit({ type: 'fetch', receivedBytes, totalBytes });
    },
  });
  const { runtime, reason } = await openDevice(config.device, config.threads, artifacts);
  const pool = new LoaderPool({ artifacts, workers: config.workers });
  try {
    const session = await TrainSession.create(runtime, artifacts, classes.length);
    await session.setState(state);
    const shared = { artifacts, pool, batchSize: config.batchSize, seed: config.seed };
    const trainLoader = new DataLoader({ ...shared, dataset: data.train, mode: 'train' });
    const valLoader = new DataLoader({ ...shared, dataset: data.val, mode: 'evaluate' });
    const saved = describeConfig(config, artifacts, classes);
    const run = await RunFolder.create(config.out, saved);
    emit({
      type: 'start',
      device: runtime.provider,
      deviceReason: reason,
      classes,
      trainImages: data.train.length,
      valImages: data.val.length,
      weightsSource: source,
      runDir: run.dir,
    });

    let best: BestResult | null = null;
    const groupSize = stepsPerCall(config.batchSize);
    for (let epoch = 0; epoch < config.epochs; epoch++) {
      const lr = stepLr(epoch, config);
      const settings = { ...config, lr, classes: classes.length };
      const batches = trainLoader.epoch(epoch, { shuffle: true });
      const onTrain = reporter(emit, config, epoch, 'train', trainLoader.batchCount);
      const trained = await trainEpoch(session, trainLoader, batches, groupSize, settings, onTrain);
      const trainRecord = toRecord(epoch, 'train', lr, trained);
      await run.appendMetrics(trainRecord);
      emit({ type: 'phase', record: trainRecord });

      const current = await session.getState();
      const model = await buildInferenceModel(artifacts, current, { classes });
      const images = valLoader.epoch(epoch, { shuffle: false });
      const sizes = {
        classes: classes.length,
        inputSize: artifacts.manifest.preprocessing.inputSize,
      };
      const onVal = reporter(emit, config, epoch, 'val', valLoader.batchCount);
      const validated = await evaluate(runtime, model, valLoader, images, sizes, onVal);
      const valRecord = toRecord(epoch, 'val', lr, validated);
      await run.appendMetrics(valRecord);
      emit({ type: 'phase', record: valRecord });

      const improved = best === null || isBetter(valRecord, best);
      if (improved) best = { epoch: epoch + 1, accuracy: valRecord.accuracy, loss: valRecord.loss };
      const step = (epoch + 1) * trainLoader.batchCount;
      const reached: RunState = {
        arch: artifacts.manifest.arch,
        classes,
        epoch: epoch + 1,
        step,
        best,
        config: saved,
      };
      if (improved) await saveCheckpoint(run.checkpoint('best'), { state: current, run: reached });
      await saveCheckpoint(run.checkpoint('last'), { state: current, run: reached });
    }
    const result = toResult(run, best);
    emit({ type: 'end', result });
    return result;
  } finally {
    await pool.close();
    await runtime.close();
  }
}

/** Higher validation accuracy, then lower loss. A loss that is not a number is never better. */
export function isBetter(
  candidate: { accuracy: number; loss: number },
  best: { accuracy: number; loss: number },
): boolean {
  if (!Number.isFinite(candidate.loss)) return false;
  if (candidate.accuracy !== best.accuracy) return candidate.accuracy > best.accuracy;
  return candidate.loss < best.loss;
}

async function openDatasets(config: ResolvedOptions): Promise<{ train: Dataset; val: Dataset }> {
  const folder = (name: string): string => path.join(config.data ?? '', name);
  const train = config.trainDataset ?? (await ImageFolder.open(folder('train')));
  const { classes } = train;
  const val = config.valDataset ?? (await ImageFolder.open(folder('val'), { classes }));
  if (classes.length < 2) {
    throw new DatasetError(
      `expected at least 2 classes, got ${classes.length}; a classifier needs something to tell apart`,
    );
  }
  if (train.length === 0 || val.length === 0) {
    throw new DatasetError(
      `expected images to train and to validate on, got ${train.length} and ${val.length}; add some`,
    );
  }
  if (val.classes.join('\0') !== classes.join('\0')) {
    throw new DatasetError(
      `expected the validation set's classes to be the training set's (${classes.join(', ')}), ` +
        `got ${val.classes.join(', ')}; give both sets the same list`,
    );
  }
  return { train, val };
}

/** config.json: every setting that has a value, and what it was resolved against. */
function describeConfig(
  config: ResolvedOptions,
  artifacts: Artifacts,
  classes: readonly string[],
): { arch: string; classes: readonly string[] } {
  const { trainDataset, valDataset } = config;
  const custom = trainDataset !== undefined || valDataset !== undefined;
  const settings = {
    ...config,
    onEvent: undefined,
    trainDataset: undefined,
    valDataset: undefined,
  };
  return {
    ...settings,
    ...(settings.data === undefined ? {} : { data: path.resolve(settings.data) }),
    ...(custom ? { customDataset: true } : {}),
    arch: artifacts.manifest.arch,
    classes,
  };
}

function reporter(
  emit: (event: TrainEvent) => void,
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

function toRecord(epoch: number, phase: 'train' | 'val', lr: number, pass: Pass): PhaseRecord {
  const { meter, seconds, dataWaitSeconds } = pass;
  const { loss, accuracy, images } = meter;
  return { epoch: epoch + 1, phase, loss, accuracy, lr, images, seconds, dataWaitSeconds };
}

function toResult(run: RunFolder, best: BestResult | null): TrainResult {
  if (best === null) throw new RangeError('a run has at least one epoch');
  return {
    runDir: run.dir,
    bestEpoch: best.epoch,
    bestAccuracy: best.accuracy,
    bestLoss: best.loss,
    checkpoint: run.checkpoint('best'),
  };
}
