/**
 * Checkpoints: one safetensors file with the whole training state under torchvision's names (momentum beside
 * it as `momentum.<name>`), so that any safetensors reader can use it, and the run in its metadata.
 */

import type { Manifest } from './artifacts.js';
import { WeightsError } from './errors.js';
import { writeFileAtomic } from './files.js';
import { encodeSafetensors, readSafetensors } from './safetensors.js';
import { stateLayout, takeTensor } from './state-layout.js';
import type { State } from './tensors.js';

/** Value of `format` in the metadata. */
const FORMAT = 'ort-finetune checkpoint 1';

/** Best validation result so far. */
export interface BestResult {
  readonly epoch: number;
  /** Share between 0 and 1. */
  readonly accuracy: number;
  readonly loss: number;
}

/** Where a run is. */
export interface RunState {
  readonly arch: string;
  readonly classes: readonly string[];
  /** Epochs completed. */
  readonly epoch: number;
  /** Training steps completed since the start of the run. */
  readonly step: number;
  readonly best: BestResult | null;
  /** The resolved settings, as config.json has them. */
  readonly config: unknown;
}

export interface Checkpoint {
  readonly state: State;
  readonly run: RunState;
}

/**
 * Writes a checkpoint whole or not at all. The state must not change until it is written.
 *
 * @throws UserError if it cannot be written.
 */
export async function saveCheckpoint(file: string, { state, run }: Checkpoint): Promise<void> {
  const { arch, classes, epoch, step, best, config } = run;
  const metadata = {
    format: FORMAT,
    arch,
    classes: JSON.stringify(classes),
    progress: JSON.stringify({ epoch, step, best }),
    config: JSON.stringify(config ?? null),
  };
  await writeFileAtomic(file, encodeSafetensors(state, metadata));
}

/**
 * Reads a checkpoint and checks that it has exactly the tensors the manifest asks for.
 *
 * @throws WeightsError if it is missing or damaged, is no checkpoint, or is one of another network.
 */
export async function loadCheckpoint(file: string, manifest: Manifest): Promise<Checkpoint> {
  const { tensors, metadata } = await readSafetensors(file);
  const run = parseRun(file, metadata);
  if (run.arch !== manifest.arch) {
    throw new WeightsError(
      `expected a checkpoint of ${manifest.arch} in ${file}, found one of ${run.arch}; use the artifacts it was trained with`,
    );
  }
  const state: State = new Map();
  for (const entry of stateLayout(manifest, run.classes.length)) {
    state.set(entry.name, takeTensor(tensors, entry, manifest.arch, file));
  }
  for (const name of tensors.keys()) {
    if (state.has(name)) continue;
    throw new WeightsError(
      `expected only tensors of ${manifest.arch} in ${file}, found ${name}; use the artifacts it was trained with`,
    );
  }
  return { state, run };
}

function parseRun(file: string, metadata: ReadonlyMap<string, string>): RunState {
  const format = metadata.get('format');
  if (format !== FORMAT) {
    throw new WeightsError(
      `expected a checkpoint (${FORMAT}) in ${file}, found ${format ?? 'a file without run state'}; weights alone can start a new run with --weights ${file}`,
    );
  }
  const arch = metadata.get('arch');
  const classes = parseJson(metadata.get('classes'));
  const progress = parseJson(metadata.get('progress'));
  const config = parseJson(metadata.get('config'));
  if (arch === undefined || !isStringArray(classes) || !isProgress(progress)) {
    throw new WeightsError(
      `expected architecture, classes and progress in the metadata of ${file}, found them missing or damaged; use another checkpoint`,
    );
  }
  const { epoch, step, best } = progress;
  return { arch, classes, epoch, step, best, config };
}

function parseJson(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? '');
  } catch {
    return undefined;
  }
}

function isStringArray(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

function isProgress(value: unknown): value is Pick<RunState, 'epoch' | 'step' | 'best'> {
  if (!isObject(value)) return false;
  const { epoch, step, best } = value;
  return isNatural(epoch) && isNatural(step) && (best === null || isBest(best));
}

function isBest(value: unknown): value is BestResult {
  if (!isObject(value)) return false;
  const { epoch, accuracy, loss } = value;
  return isNatural(epoch) && Number.isFinite(accuracy) && Number.isFinite(loss);
}

function isObject(value: unknown): value is Partial<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function isNatural(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
