/** One pass over labelled images with the very model that ships. */

import { PredictionList, type Predictions } from '../metrics/predictions.js';
import { EpochTimer, type OnBatch, type EpochMetrics } from './train-epoch.js';
import { TrainingError } from '../common/errors.js';
import type { Batch, DataLoader } from '../data/data-loader.js';
import { AverageMeter } from '../metrics/average-meter.js';
import { crossEntropy } from '../metrics/logits.js';
import type { OrtWorker } from '../session/ort-worker.js';
import { float32Tensor } from '../common/tensor.js';

/** A finished pass, and what the model said of each image. */
export interface Evaluation extends EpochMetrics {
  readonly predictions: Predictions;
}

/**
 * Runs an exported model over `batches`; the loss is cross entropy, the mean over all images.
 *
 * The model, not the training state, is what is run: its weights are constants, which the runtime packs
 * once (about 1.6 times as fast as weights given as inputs), and what is validated is what ships.
 *
 * @param model bytes of a model with the input `input` [N, 3, S, S] and the output `logits` [N, C]; given away.
 * @param signal where it aborts, its reason is thrown after the batch under way.
 * @throws TrainingError if the loss is not finite.
 */
export async function evaluate(
  runtime: OrtWorker,
  model: Uint8Array<ArrayBuffer>,
  loader: DataLoader,
  batches: AsyncIterable<Batch>,
  { classes, inputSize }: { classes: number; inputSize: number },
  onBatch: OnBatch,
  signal?: AbortSignal,
): Promise<Evaluation> {
  const clock = new EpochTimer();
  const meter = new AverageMeter();
  const predictions = new PredictionList(classes);
  const session = await runtime.loadGiven(model);
  let done = 0;
  try {
    for await (const { images, labels, indices } of batches) {
      clock.dataReady();
      const input = float32Tensor([labels.length, 3, inputSize, inputSize], images);
      const { logits } = await runtime.run(session, { input }, ['logits']);
      clock.runtimeIdle();
      loader.recycle(images);
      const rows = logits?.data as Float32Array;
      let loss = 0;
      labels.forEach((label, row) => {
        loss += crossEntropy(rows, row * classes, classes, label);
      });
      meter.add(loss / labels.length, rows, labels, classes);
      predictions.add(indices, labels, rows);
      if (!Number.isFinite(loss)) throw notFinite(loss / labels.length, done + 1);
      onBatch(++done, meter, clock.seconds);
      signal?.throwIfAborted();
    }
  } finally {
    await runtime.release(session);
  }
  const { seconds, dataWaitSeconds } = clock;
  return { meter, seconds, dataWaitSeconds, predictions: predictions.finish() };
}

function notFinite(loss: number, batch: number): TrainingError {
  return new TrainingError(
    `expected a finite validation loss, got ${loss} in batch ${batch}; the training diverges, lower --lr`,
  );
}
