/** How far an epoch is, and what it came to. */

import type { PartialEpoch } from '../checkpoint/trainer-state.js';
import { TrainingError } from '../common/errors.js';
import { AverageMeter } from '../metrics/average-meter.js';

/** Results of a finished epoch, of training or of validation. */
export interface EpochMetrics {
  readonly meter: AverageMeter;
  readonly seconds: number;
  /** Part of `seconds` in which the runtime had nothing to compute because no batch was ready. */
  readonly dataWaitSeconds: number;
}

/** The part of an epoch that is done. */
export class EpochProgress implements EpochMetrics {
  readonly meter: AverageMeter;
  /** Batches done. */
  batch: number;
  seconds: number;
  dataWaitSeconds: number;

  /** @param partial the part that a checkpoint holds; null at the start of an epoch. */
  constructor(partial: PartialEpoch | null = null) {
    this.meter = new AverageMeter(partial ?? undefined);
    this.batch = partial?.batch ?? 0;
    this.seconds = partial?.seconds ?? 0;
    this.dataWaitSeconds = partial?.dataWaitSeconds ?? 0;
  }

  /** Takes over the times of a running timer. */
  setTimes({ seconds, dataWaitSeconds }: Pick<EpochMetrics, 'seconds' | 'dataWaitSeconds'>): void {
    this.seconds = seconds;
    this.dataWaitSeconds = dataWaitSeconds;
  }

  /** The part as a checkpoint keeps it; null before the first batch. */
  get partial(): PartialEpoch | null {
    const { batch, seconds, dataWaitSeconds } = this;
    return batch === 0 ? null : { batch, ...this.meter.sums, seconds, dataWaitSeconds };
  }
}

/**
 * Checks that a loss is finite.
 *
 * @param name what the message calls the loss.
 * @param context says where the loss was found and what to do about it; called only if it is not finite.
 * @throws TrainingError if the loss is NaN or infinite.
 */
export async function requireFinite(
  name: string,
  loss: number,
  context: () => string | Promise<string>,
): Promise<void> {
  if (Number.isFinite(loss)) return;
  throw new TrainingError(`expected a finite ${name}, got ${loss} ${await context()}`);
}
