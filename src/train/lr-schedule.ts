/** Learning-rate schedules, as functions of the epoch: nothing is stepped, so nothing can drift. */

/**
 * StepLR: `lr * gamma ** floor(epoch / stepSize)`.
 *
 * Source: torch.optim.lr_scheduler.StepLR, closed form.
 *
 * @param epoch counted from 0.
 */
export function stepLr(
  epoch: number,
  { lr, stepSize, gamma }: { lr: number; stepSize: number; gamma: number },
): number {
  return lr * gamma ** Math.floor(epoch / stepSize);
}

/** What a schedule is made of. */
export interface ScheduleSettings {
  readonly schedule: 'step' | 'cosine' | 'constant';
  readonly warmupEpochs: number;
  readonly stepSize: number;
  readonly gamma: number;
  readonly epochs: number;
}

/** LinearLR's default `start_factor`. */
const WARMUP_START = 1 / 3;

/**
 * The learning rate of an epoch: PyTorch's `SequentialLR` of `LinearLR(total_iters=warmupEpochs)` and the
 * schedule, whose epochs count from the end of the warm-up.
 *
 * - `step`: StepLR.
 * - `cosine`: CosineAnnealingLR with `T_max` the epochs after the warm-up and `eta_min` 0:
 *   `lr * (1 + cos(pi * epoch / T_max)) / 2`.
 * - `constant`.
 *
 * @param base learning rate that the schedule scales.
 * @param epoch counted from 0.
 */
export function scheduledLr(base: number, epoch: number, settings: ScheduleSettings): number {
  const { schedule, warmupEpochs, epochs } = settings;
  if (epoch < warmupEpochs) {
    return base * (WARMUP_START + (1 - WARMUP_START) * (epoch / warmupEpochs));
  }
  const after = epoch - warmupEpochs;
  switch (schedule) {
    case 'step':
      return stepLr(after, { ...settings, lr: base });
    case 'cosine':
      return (base * (1 + Math.cos((Math.PI * after) / (epochs - warmupEpochs)))) / 2;
    case 'constant':
      return base;
  }
}
