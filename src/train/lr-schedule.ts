/** Learning rates as a function of the settings and the step: nothing is stepped, so nothing can drift. */

/** Position of a step in the run. */
export interface SchedulePosition {
  /** Training steps before this one, counted from 0. */
  readonly step: number;
  /** Training steps per epoch. */
  readonly stepsPerEpoch: number;
  /** Epochs before this one, counted from 0. */
  readonly epoch: number;
}

/**
 * Returns the learning rate of a step.
 *
 * @param base the learning rate that the schedule scales.
 * @param position where the step is, counted from the end of the warm-up.
 */
export type Schedule = (
  base: number,
  position: SchedulePosition,
  settings: ScheduleSettings,
) => number;

/** Settings that a schedule may depend on. */
export interface ScheduleSettings {
  /** The name of a schedule of this file, or another schedule. */
  readonly schedule: ScheduleName | Schedule;
  readonly warmupEpochs: number;
  readonly stepSize: number;
  readonly gamma: number;
  readonly epochs: number;
}

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

/**
 * The schedules by name. A new one is an entry here, and a name in `ScheduleName` and in config/train-settings.ts; the
 * compiler finds a forgotten one. The loop stays as it is: it asks for the rates of every step.
 *
 * - `step`: StepLR.
 * - `cosine`: CosineAnnealingLR with `T_max` the epochs after the warm-up and `eta_min` 0:
 *   `lr * (1 + cos(pi * epoch / T_max)) / 2`.
 * - `constant`.
 */
const SCHEDULES = {
  step: (base, { epoch }, settings) => stepLr(epoch, { ...settings, lr: base }),
  cosine: (base, { epoch }, { epochs, warmupEpochs }) =>
    (base * (1 + Math.cos((Math.PI * epoch) / (epochs - warmupEpochs)))) / 2,
  constant: (base) => base,
} as const satisfies Readonly<Record<string, Schedule>>;

export type ScheduleName = 'step' | 'cosine' | 'constant';

/** LinearLR's default `start_factor`. */
const WARMUP_START = 1 / 3;

/**
 * Returns the learning rate of a step: PyTorch's `SequentialLR` of `LinearLR(total_iters=warmupEpochs)` and the
 * schedule.
 *
 * @param base learning rate that the schedule scales.
 */
function scheduledLr(base: number, position: SchedulePosition, settings: ScheduleSettings): number {
  const { schedule, warmupEpochs } = settings;
  const { step, stepsPerEpoch, epoch } = position;
  if (epoch < warmupEpochs) {
    return base * (WARMUP_START + (1 - WARMUP_START) * (epoch / warmupEpochs));
  }
  const apply: Schedule = typeof schedule === 'function' ? schedule : SCHEDULES[schedule];
  const after = {
    step: step - warmupEpochs * stepsPerEpoch,
    stepsPerEpoch,
    epoch: epoch - warmupEpochs,
  };
  return apply(base, after, settings);
}

/** The learning rates of a step. */
export interface LearningRates {
  /** Learning rate of the backbone. */
  readonly lr: number;
  /** Learning rate of the head, the last layer. */
  readonly headLr: number;
}

/** Settings that decide the learning rates. */
export interface LrSettings extends ScheduleSettings {
  /** Learning rate of the backbone before the schedule scales it. */
  readonly lr: number;
  /** Learning rate of the head before the schedule scales it. 0: the same as `lr`. */
  readonly headLr: number;
}

/**
 * Returns the learning rates of a step.
 *
 * @param step training steps before it, counted from 0.
 * @param stepsPerEpoch training steps per epoch.
 */
export function learningRates(
  step: number,
  stepsPerEpoch: number,
  settings: LrSettings,
): LearningRates {
  const position = { step, stepsPerEpoch, epoch: Math.floor(step / stepsPerEpoch) };
  return {
    lr: scheduledLr(settings.lr, position, settings),
    headLr: scheduledLr(settings.headLr || settings.lr, position, settings),
  };
}
