/** Fine-tuning, from start to finish: prepare, fit, finish. */

import path from 'node:path';
import type { BestResult } from '../checkpoint/checkpoint.js';
import { RunFolder } from '../checkpoint/run-folder.js';
import { DistributedError, InterruptedError, WeightsError } from '../common/errors.js';
import type { TrainResult } from '../common/events.js';
import type { TrainOptions } from '../config/train-options.js';
import type { Naming } from '../config/validator.js';
import { openProcessGroup } from '../distributed/open-process-group.js';
import type { ProcessGroup } from '../distributed/process-group.js';
import type { Platform } from '../platform/platform.js';
import { fit } from './fit.js';
import { repairCheckpoints } from './open-run.js';
import { prepare, type PreparedTraining } from './prepare.js';
import { setUp, type RunSetup } from './run-setup.js';
import { isFinished } from './training-run.js';

/**
 * Fine-tunes a network: `epochs` passes over the training images, each followed by one over the validation images. The
 * learning rate follows a schedule by epochs, and the best weights are kept (by validation accuracy, then by lower
 * loss). A run that was stopped or killed goes on with `resume`; on CPU it ends with the same bits as one that was not.
 *
 * @param naming how messages name an option.
 * @returns where the best checkpoint is and how good it was.
 * @throws UserError (one of errors.ts) for everything that the caller can mend.
 */
export async function train(
  options: TrainOptions,
  naming: Naming,
  platform: Platform,
): Promise<TrainResult> {
  return trainInGroup(await openProcessGroup(), options, naming, platform);
}

/** Fine-tunes as one rank of a process group; see {@link train}. */
export async function trainInGroup(
  group: ProcessGroup,
  options: TrainOptions,
  naming: Naming,
  platform: Platform,
): Promise<TrainResult> {
  // From here on the other ranks rely on this one.
  group.abortOnExit = true;
  try {
    const setup = await setUp(group, options, naming, platform);
    const result = await run(setup).finally(() => setup.lock?.release());
    group.abortOnExit = false;
    return result;
  } catch (error) {
    // If the other ranks end the same way, or know of it, the job need not be aborted.
    const stopped = error instanceof InterruptedError && error.runDir !== null;
    const everywhere = error instanceof DistributedError && error.everywhere;
    if (stopped || everywhere) group.abortOnExit = false;
    throw error;
  }
}

async function run(setup: RunSetup): Promise<TrainResult> {
  const { point, config, emit } = setup;
  if (point !== null && isFinished(point.run, config)) {
    const result = await finishedBefore(setup, point);
    emit({ type: 'end', result, before: true });
    return result;
  }
  const training = await prepare(setup);
  try {
    await fitWithReport(training);
    const result = toResult(training.run.dir, training.run.best);
    emit({ type: 'end', result });
    return result;
  } catch (error) {
    throw await training.run.stopped(error, training.stop.signal);
  } finally {
    await training.close();
  }
}

/** Trains, and closes the report however the training ends. */
function fitWithReport(training: PreparedTraining): Promise<void> {
  const fitting = fit(training);
  return training.report?.during(fitting) ?? fitting;
}

/** The run had finished; completes the clean-up that a kill interrupted. */
async function finishedBefore(
  setup: RunSetup,
  point: NonNullable<RunSetup['point']>,
): Promise<TrainResult> {
  const { file, run, runDir } = point;
  if (runDir === null) return { ...toResult(path.dirname(file), run.best), checkpoint: file };
  if (!setup.group.isMain) return toResult(runDir, run.best);
  await new RunFolder(runDir).sweep();
  return toResult(runDir, await repairCheckpoints(point, setup));
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
