/** The learning-rate range test: training steps at rates from small to large, of which nothing is kept. */

import { bundledArtifacts } from '../artifacts/node/bundled-artifacts.js';
import { openArtifacts } from '../platform/node/defaults.js';
import type { Artifacts } from '../artifacts/open-artifacts.js';
import type { Naming, ResolvedOptions } from '../config/train-options.js';
import { openDevice } from '../devices/choose-device.js';
import { groupBatches, stackBatches } from './train-epoch.js';
import { type FindLrOptions, type Range, resolveFindLr } from '../config/find-lr-options.js';
import { type Batch, DataLoader } from '../data/data-loader.js';
import { LoaderPool } from '../images/worker-pool.js';
import type { Platform } from '../platform/platform.js';
import { LrCurve, type LrPoint, type LrSuggestion, rangeOfRates } from '../metrics/lr-curve.js';
import { AverageMeter, batchSums } from '../metrics/average-meter.js';
import { openData, type RunData } from '../data/open-datasets.js';
import { startingState } from './prepare.js';
import { TrainSession } from '../session/train-session.js';
import { stepsPerExecution, trainingGraph } from '../session/training-graph.js';

/** What a range test found. */
export interface FindLrResult {
  /** One for each step that was taken; fewer than `steps` where the loss ran away. */
  readonly points: readonly LrPoint[];
  /** Null where no rate made the loss fall. */
  readonly suggestion: LrSuggestion | null;
  readonly arch: string;
  /** The execution provider. */
  readonly device: string;
  readonly batchSize: number;
}

/**
 * Takes training steps at learning rates from `minLr` to `maxLr`, each the same factor above the one before,
 * and reads from the losses which rate suits. The steps are training's own (same seed, order and crops);
 * their weights are thrown away. It ends early where the smoothed loss is four times its least.
 *
 * @param naming how messages name an option.
 * @throws UserError (one of errors.ts) for everything that is the caller's to mend.
 */
export async function findLr(
  options: FindLrOptions,
  naming: Naming,
  { images, ort }: Platform,
): Promise<FindLrResult> {
  const { range, config } = resolveFindLr(options, naming);
  const emit = config.onEvent ?? (() => undefined);
  const artifacts = await openArtifacts(config.artifacts ?? bundledArtifacts(config.arch));
  const pool = new LoaderPool({ artifacts, images, workers: config.workers });
  try {
    const { runtime } = await openDevice(config.device, config.threads, artifacts, ort);
    try {
      const graph = trainingGraph(config);
      TrainSession.prepare(runtime, artifacts, graph);
      const data = await openData(config, pool, emit);
      const classes = data.classes.length;
      const { state } = await startingState(null, config, artifacts, classes, emit);
      const session = await TrainSession.create(runtime, artifacts, classes, graph);
      await session.setState(state);
      const curve = await sweep(session, data, artifacts, pool, config, range);
      const { points } = curve;
      const { arch } = artifacts.manifest;
      const { batchSize } = config;
      const device = runtime.provider;
      return { points, suggestion: curve.suggest(), arch, device, batchSize };
    } finally {
      await runtime.close();
    }
  } finally {
    await pool.close();
  }
}

/** As many batches as there are rates, epoch after epoch. */
async function* endless(loader: DataLoader, signal?: AbortSignal): AsyncGenerator<Batch, never> {
  for (let epoch = 0; ; epoch++) {
    for await (const batch of loader.epoch(epoch, { shuffle: true })) {
      signal?.throwIfAborted();
      yield batch;
    }
  }
}

async function sweep(
  session: TrainSession,
  { train, classes, classWeights }: RunData,
  artifacts: Artifacts,
  pool: LoaderPool,
  config: ResolvedOptions,
  { minLr, maxLr, steps }: Range,
): Promise<LrCurve> {
  const { batchSize, seed, signal, onEvent } = config;
  const loader = new DataLoader({
    artifacts,
    pool,
    dataset: train,
    mode: 'train',
    batchSize,
    seed,
  });
  const rates = rangeOfRates(minLr, maxLr, steps);
  const settings = { ...config, headLr: 0, classes: classes.length, classWeights };
  const curve = new LrCurve();
  const meter = new AverageMeter();
  const began = performance.now();
  for await (const group of groupBatches(endless(loader, signal), stepsPerExecution(batchSize))) {
    const done = curve.points.length;
    const taken = group.slice(0, steps - done);
    const own = rates.slice(done, done + taken.length);
    const chunk = stackBatches(taken, settings, loader);
    chunk.lr.set(own);
    chunk.headLr.set(own);
    const { losses, logits } = await session.step(chunk);
    for (const [k, { labels }] of taken.entries()) {
      const loss = losses[k] ?? NaN;
      if (!curve.add(own[k] ?? NaN, loss)) return curve;
      const offset = k * labels.length * classes.length;
      meter.addSums(batchSums(loss, logits, labels, classes.length, offset));
    }
    onEvent?.({
      ...{ type: 'step', epoch: 1, epochs: 1, phase: 'train' },
      ...{ batch: curve.points.length, batches: steps },
      ...{ loss: meter.loss, accuracy: meter.accuracy },
      imagesPerSecond: (1000 * meter.images) / (performance.now() - began),
    });
    if (curve.points.length === steps) return curve;
  }
  return curve;
}
