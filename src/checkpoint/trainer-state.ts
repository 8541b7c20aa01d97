/** Reads the state of a run from a checkpoint's metadata, which may be damaged or made by hand. */

import { WeightsError } from '../common/errors.js';
import type { PhaseRecord } from '../common/events.js';
import { parseJson } from '../common/json.js';
import type { MetricSums } from '../metrics/average-meter.js';

/** Value of `format` in the metadata. */
export const FORMAT = 'ort-finetune checkpoint 1';

/** Best validation result so far. */
export interface BestResult {
  readonly epoch: number;
  /** Share between 0 and 1. */
  readonly accuracy: number;
  readonly loss: number;
}

/** Progress of an epoch under way. */
export interface PartialEpoch extends MetricSums {
  /** Batches done; the number of all batches if only the validation is left. */
  readonly batch: number;
  readonly seconds: number;
  readonly dataWaitSeconds: number;
}

/** The graphs and the preprocessing of a run. */
export interface GraphsRecord {
  /** Hash of the artifacts. */
  readonly artifacts: string;
  /** Version of the package that they were read by. Runs of version 0.2.0 and before lack it. */
  readonly version?: string;
}

/** Hashes of the data and the artifacts, on which the result depends beside the settings. */
export interface Fingerprints extends GraphsRecord {
  readonly data: string;
  /** The graphs of the run's first step, if it goes on with rebuilt ones. */
  readonly begunOn?: GraphsRecord;
}

/** Progress of a run, and everything else a checkpoint holds beside tensors. */
export interface TrainerState {
  readonly arch: string;
  readonly classes: readonly string[];
  /** Epochs completed, validation included. */
  readonly epoch: number;
  /** Training steps completed since the start of the run. */
  readonly step: number;
  /** The epoch under way; null between two epochs. */
  readonly partial: PartialEpoch | null;
  readonly best: BestResult | null;
  /** One record per completed phase. */
  readonly records: readonly PhaseRecord[];
  readonly fingerprints: Fingerprints;
  /** The resolved settings, as config.json has them. */
  readonly config: unknown;
}

/**
 * Reads the state of a run.
 *
 * @param file its name in messages.
 * @throws WeightsError unless everything is there and has the right type.
 */
export function parseRun(file: string, metadata: ReadonlyMap<string, string>): TrainerState {
  const format = metadata.get('format');
  if (format !== FORMAT) {
    throw new WeightsError(
      `expected a checkpoint (${FORMAT}) in ${file}, found ${format ?? 'a file without run state'}; weights alone can start a new run with --weights ${file}`,
    );
  }
  const arch = metadata.get('arch');
  const classes = parseJson(metadata.get('classes'));
  const progress = parseJson(metadata.get('progress'));
  const records = parseJson(metadata.get('metrics'));
  const fingerprints = parseJson(metadata.get('fingerprints'));
  const config = parseJson(metadata.get('config'));
  const complete =
    arch !== undefined &&
    isListOf(classes, (item) => typeof item === 'string') &&
    isProgress(progress) &&
    isListOf(records, isRecord) &&
    isFingerprints(fingerprints);
  if (!complete) {
    throw new WeightsError(
      `expected architecture, classes and progress in the metadata of ${file}, found them missing or damaged; use another checkpoint`,
    );
  }
  const { epoch, step, partial, best } = progress;
  return { arch, classes, epoch, step, partial, best, records, fingerprints, config };
}

type Fields<T> = Partial<Record<keyof T, unknown>>;

function isListOf<T>(value: unknown, isItem: (item: unknown) => item is T): value is T[] {
  return Array.isArray(value) && value.every(isItem);
}

function isProgress(
  value: unknown,
): value is Pick<TrainerState, 'epoch' | 'step' | 'partial' | 'best'> {
  if (!isObject(value)) return false;
  const { epoch, step, partial, best }: Fields<TrainerState> = value;
  const placed = isNatural(epoch) && isNatural(step);
  return placed && (partial === null || isPartial(partial)) && (best === null || isBest(best));
}

function isPartial(value: unknown): value is PartialEpoch {
  if (!isObject(value)) return false;
  const { batch, images, correct, lossSum, seconds, dataWaitSeconds }: Fields<PartialEpoch> = value;
  return (
    [batch, images, correct].every(isNatural) &&
    [lossSum, seconds, dataWaitSeconds].every(Number.isFinite)
  );
}

function isBest(value: unknown): value is BestResult {
  if (!isObject(value)) return false;
  const { epoch, accuracy, loss }: Fields<BestResult> = value;
  return isNatural(epoch) && [accuracy, loss].every(Number.isFinite);
}

function isRecord(value: unknown): value is PhaseRecord {
  if (!isObject(value)) return false;
  const { phase, epoch, images, ...numbers }: Fields<PhaseRecord> = value;
  const { loss, accuracy, lr, seconds, dataWaitSeconds, allReduceSeconds = 0 } = numbers;
  return (
    (phase === 'train' || phase === 'val') &&
    [epoch, images].every(isNatural) &&
    [loss, accuracy, lr, seconds, dataWaitSeconds, allReduceSeconds].every(Number.isFinite)
  );
}

function isFingerprints(value: unknown): value is Fingerprints {
  if (!isGraphsRecord(value)) return false;
  const { data, begunOn }: Fields<Fingerprints> = value;
  return typeof data === 'string' && (begunOn === undefined || isGraphsRecord(begunOn));
}

function isGraphsRecord(value: unknown): value is GraphsRecord {
  if (!isObject(value)) return false;
  const { artifacts, version }: Fields<GraphsRecord> = value;
  return typeof artifacts === 'string' && (version === undefined || typeof version === 'string');
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function isNatural(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
