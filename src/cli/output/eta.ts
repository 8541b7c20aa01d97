/** How long a run will take. */

import type { StepEvent } from '../../common/events.js';

/**
 * Estimates how long the rest of a run takes, from the time per batch in each kind of pass. Work
 * between two passes (writing a checkpoint) counts as part of the later pass. Several batches may be reported at
 * once.
 */
export class TimeLeft {
  private readonly seen = { train: { seconds: 0, batches: 0 }, val: { seconds: 0, batches: 0 } };
  private readonly total = { train: 0, val: 0 };
  private last = { epoch: 0, phase: 'train', batch: 0 };

  /**
   * @param at when the first pass begins, in seconds on any clock that does not go back.
   * @param from where a resumed run goes on.
   */
  constructor(
    private at: number,
    from: { readonly epoch: number; readonly batch: number } = { epoch: 0, batch: 0 },
  ) {
    this.last = { epoch: from.epoch + 1, phase: 'train', batch: from.batch };
  }

  /**
   * @param now seconds on the same clock.
   * @returns seconds left, or null until there is something to judge by.
   */
  update(event: StepEvent, now: number): number | null {
    const { epoch, phase, batch, batches } = event;
    const { last, seen, total } = this;
    const samePass = last.epoch === epoch && last.phase === phase;
    seen[phase].seconds += now - this.at;
    seen[phase].batches += samePass ? batch - last.batch : batch;
    total[phase] = batches;
    this.at = now;
    this.last = { epoch, phase, batch };
    const epochsAfter = event.epochs - epoch;
    const left = { train: epochsAfter * total.train, val: epochsAfter * total.val };
    left[phase] += batches - batch;
    if (phase === 'train') left.val += total.val;
    if (left.train > 0 && seen.train.batches === 0) return null;
    const perBatch = (name: 'train' | 'val'): number =>
      seen[name].seconds / Math.max(1, seen[name].batches);
    return perBatch('train') * left.train + perBatch('val') * left.val;
  }
}
