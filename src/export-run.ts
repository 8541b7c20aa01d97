/** `export-inference`: one ONNX file from a run's checkpoint, tried before it is called done. */

import { readFileSync } from 'node:fs';
import { bundledArtifacts, openArtifacts, type Artifacts } from './artifacts.js';
import { loadCheckpoint } from './checkpoint.js';
import { ArtifactError, TrainingError } from './errors.js';
import { buildInferenceModel } from './export.js';
import { writeFileAtomic } from './files.js';
import { Philox, STREAM } from './random.js';
import { RunFolder, type CheckpointName } from './run-folder.js';
import { Runtime } from './session.js';
import type { FloatTensors } from './session-protocol.js';
import { float32Tensor, type State } from './tensors.js';

/** Largest difference of a logit between the exported model and the evaluation graph. */
export const EXPORT_TOLERANCE = 1e-4;

const TRIAL_IMAGES = 2;

export interface ExportOptions {
  /** Run folder. */
  readonly run: string;
  readonly checkpoint: CheckpointName;
  /** File to write. */
  readonly out: string;
  /** Artifact folder. Default: the one the run was trained with. */
  readonly artifacts?: string;
}

export interface ExportResult {
  readonly file: string;
  readonly classes: readonly string[];
  /** Largest difference of a logit from the evaluation graph's, in the trial. */
  readonly maxDifference: number;
}

/**
 * Writes a run's network as one ONNX file: BatchNorm folded, weights inside, input `input` float32
 * [N, 3, S, S] (normalised), output `logits` [N, C], class names and preprocessing in `metadata_props`.
 *
 * Before the file gets its name, the model and the evaluation graph run on the same random images.
 *
 * @throws WeightsError for a damaged checkpoint; TrainingError if the two differ by more than
 *   {@link EXPORT_TOLERANCE}.
 */
export async function exportInference(options: ExportOptions): Promise<ExportResult> {
  const { folder, config } = await RunFolder.open(options.run);
  const trainedWith = typeof config.artifacts === 'string' ? config.artifacts : undefined;
  const dir = options.artifacts ?? trainedWith ?? bundledArtifacts(config.arch);
  const artifacts = await openArtifacts(dir);
  if (artifacts.manifest.arch !== config.arch) {
    throw new ArtifactError(
      `expected artifacts of ${config.arch}, got ${artifacts.manifest.arch} in ${dir}; give those the run was trained with`,
    );
  }
  const file = folder.checkpoint(options.checkpoint);
  const { state, run } = await loadCheckpoint(file, artifacts.manifest);
  const { version } = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  ) as { version: string };
  const properties = {
    epoch: String(run.epoch),
    ...(run.best === null ? {} : { validation: JSON.stringify(run.best) }),
    producer: `ort-finetune ${version}`,
  };
  const model = await buildInferenceModel(artifacts, state, { classes: run.classes, properties });
  const maxDifference = await compareWithEvaluation(artifacts, state, model);
  if (!(maxDifference <= EXPORT_TOLERANCE)) {
    throw new TrainingError(
      `expected the exported model's logits within ${EXPORT_TOLERANCE} of the evaluation graph's, ` +
        `got a difference of ${maxDifference}; nothing was written, please report this`,
    );
  }
  await writeFileAtomic(options.out, model);
  return { file: options.out, classes: run.classes, maxDifference };
}

/** Runs model and evaluation graph on the same images; returns the largest difference of a logit. */
export async function compareWithEvaluation(
  artifacts: Artifacts,
  state: State,
  model: Uint8Array,
): Promise<number> {
  const { manifest } = artifacts;
  const { inputSize } = manifest.preprocessing;
  const random = new Philox(0, STREAM.trial);
  const pixels = Float32Array.from({ length: TRIAL_IMAGES * 3 * inputSize ** 2 }, () =>
    random.normal(),
  );
  const images = float32Tensor([TRIAL_IMAGES, 3, inputSize, inputSize], pixels);
  const feeds: FloatTensors = { images };
  for (const { name } of [...manifest.parameters, ...manifest.buffers]) {
    const tensor = state.get(name);
    if (tensor !== undefined) feeds[name] = tensor;
  }
  const runtime = new Runtime('cpu');
  try {
    const exported = await runtime.load(model);
    const reference = await runtime.load(artifacts.graphPath('evaluate'));
    const [found, expected] = [
      await runtime.run(exported, { input: images }, ['logits']),
      await runtime.run(reference, feeds, ['logits']),
    ];
    const wanted = expected.logits?.data as Float32Array;
    const got = found.logits?.data as Float32Array;
    return Math.max(...wanted.map((value, i) => Math.abs(value - (got[i] ?? NaN))));
  } finally {
    await runtime.close();
  }
}
