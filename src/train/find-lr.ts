/** The learning-rate range test: training steps at rates from small to large, whose weights are thrown away. */

import { openNetwork } from '../artifacts/node/bundled-artifacts.js';
import type { Platform } from '../platform/platform.js';
import type { Artifacts } from '../artifacts/open-artifacts.js';
import type { ResolvedOptions } from '../config/train-options.js';
import type { Naming } from '../config/validator.js';
import { openDevice } from '../devices/choose-device.js';
import { type FindLrOptions, type Range, resolveFindLr } from '../config/find-lr-options.js';
import { OpenResources } from '../common/open-resources.js';
import type { Batch } from '../data/batch.js';
import { DataLoader } from '../data/data-loader.js';
import { LoaderPool } from '../images/workers/worker-pool.js';
import { LrCurve, type LrPoint, type LrSuggestion, rangeOfRates } from '../metrics/lr-curve.js';
import { AverageMeter, batchSums } from '../metrics/average-meter.js';
import { openData, type RunData } from '../data/open-datasets.js';
import { newState } from './prepare.js';
import { stackBatches } from './stack-batches.js';
import { TrainSession } from '../session/train-session.js';
import { stepsPerExecution, trainingGraph } from '../session/training-graph.js';

/** Result of a range test. */
export interface FindLrResult {
  /** One per step that was taken; fewer than `steps` if the loss ran away. */
  readonly points: readonly LrPoint[];
  /** Null if no rate made the loss fall. */
  readonly suggestion: LrSuggestion | null;
  readonly arch: string;
  /** The execution provider. */
  readonly device: string;
  readonly batchSize: number;
}

/**
 * Takes training steps at learning rates from `minLr` to `maxLr`, each the same factor above the one before,
 * and reads from the losses which rate suits. The steps are those of training (same seed, order and crops); their
 * weights are thrown away. It ends early when the smoothed loss is four times its minimum.
 *
 * @param naming how messages name an option.
 * @throws UserError (one of errors.ts) for everything that the caller can mend.
 */
export async function findLr(
  options: FindLrOptions,
  naming: Naming,
  platform: Platform,
): Promise<FindLrResult> {
  const { range, config } = resolveFindLr(options, naming);
  const emit = config.onEvent ?? (() => undefined);
  const artifacts = await openNetwork(config, platform);
  const { images, ort } = platform;
  const resources = new OpenResources();
  try {
    const { workers, exif } = config;
    const pool = resources.add(new LoaderPool({ artifacts, images, workers, exif }));
    const { runtime } = await openDevice(config.device, config.threads, artifacts, ort);
    resources.add(runtime);
    const graph = trainingGraph(config);
    TrainSession.prepare(runtime, artifacts, graph);
    const data = await openData(config, pool, emit);
    const classes = data.classes.length;
    const { state } = await newState({ config, emit, platform }, artifacts, classes);
    const session = await TrainSession.create(runtime, artifacts, classes, graph);
    await session.setState(state);
    const curve = await sweep({ session, data, artifacts, pool }, config, range);
    return {
      points: curve.points,
      suggestion: curve.suggest(),
      arch: artifacts.manifest.arch,
      device: runtime.provider,
      batchSize: config.batchSize,
    };
  } finally {
    await resources.close();
  }
}

/** The first `count` batches of endless epochs. */
async function* firstBatches(
  loader: DataLoader,
  count: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Batch, void, undefined> {
  let taken = 0;
  for (let epoch = 0; taken < count; epoch++) {
    for await (const batch of loader.epoch(epoch, { shuffle: true })) {
      signal?.throwIfAborted();
      yield batch;
      if (++taken === count) return;
    }
  }
}

interface Sweep {
  readonly session: TrainSession;
  readonly data: RunData;
  readonly artifacts: Artifacts;
  readonly pool: LoaderPool;
}

/** Takes a step at each rate, until the loss runs away. */
async function sweep(
  { session, data, artifacts, pool }: Sweep,
  config: ResolvedOptions,
  { minLr, maxLr, steps }: Range,
): Promise<LrCurve> {
  const { batchSize, seed, signal } = config;
  const dataset = data.train;
  const loader = new DataLoader({ artifacts, pool, dataset, mode: 'train', batchSize, seed });
  const classes = data.classes.length;
  const rates = rangeOfRates(minLr, maxLr, steps);
  const curve = new LrCurve();
  const meter = new AverageMeter();
  const began = performance.now();
  const chunks = stackBatches(firstBatches(loader, steps, signal), {
    maxSteps: stepsPerExecution(batchSize),
    rates: (step) => ({ lr: rates[step] ?? NaN, headLr: rates[step] ?? NaN }),
    settings: { ...config, classWeights: data.classWeights },
    classes,
    recycle: (images) => {
      loader.recycle(images);
    },
  });
  for await (const { stacked, steps: taken } of chunks) {
    const { losses, logits } = await session.step(stacked);
    for (const [k, { labels, rates: own }] of taken.entries()) {
      const loss = losses[k] ?? NaN;
      if (!curve.add(own.lr, loss)) return curve;
      const offset = k * labels.length * classes;
      meter.addSums(batchSums(loss, logits.subarray(offset), labels, classes));
    }
    config.onEvent?.({
      type: 'step',
      epoch: 1,
      epochs: 1,
      phase: 'train',
      batch: curve.points.length,
      batches: steps,
      loss: meter.loss,
      accuracy: meter.accuracy,
      imagesPerSecond: (1000 * meter.images) / (performance.now() - began),
    });
  }
  return curve;
}
