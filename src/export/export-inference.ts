/** `export-inference`: one ONNX file from a run's checkpoint, tried before it is called done. */

import { toBinary } from '@bufbuild/protobuf';
import type { Artifacts } from '../artifacts/open-artifacts.js';
import type { Dataset } from '../data/dataset.js';
import { ConfigError, TrainingError } from '../common/errors.js';
import { buildInferenceModel, parseModel } from '../onnx/inference-model.js';
import { writeFileAtomic } from '../common/node/atomic-file.js';
import { withProbabilities, withRawImages } from '../onnx/model-edits.js';
import { ModelProtoSchema } from '../onnx/onnx_pb.js';
import { formatShare } from '../common/format.js';
import { Philox, STREAM } from '../common/philox.js';
import {
  verifyExport,
  savedDataset,
  savedValidation,
  validationFolder,
  type Replay,
  type Validation,
} from './verify-export.js';
import type { CheckpointName } from '../checkpoint/run-folder.js';
import { openRunWeights, type RunWeights } from '../checkpoint/load-run.js';
import type { OrtBackend, Platform } from '../platform/platform.js';
import { OrtWorker } from '../session/ort-worker.js';
import type { FloatTensors } from '../common/tensor.js';
import { float32Tensor, type State } from '../common/tensor.js';
import { compressWeights, type Compression } from '../onnx/compress-weights.js';
import { producer } from '../common/package-info.js';

/** Largest difference of a logit between the exported model and the evaluation graph. */
export const EXPORT_TOLERANCE = 1e-4;
/** How much accuracy smaller weights may cost unless something else is said. */
export const MAX_ACCURACY_DROP = 0.01;

const TRIAL_IMAGES = 2;

/** What to export, and in which form. */
export interface ExportOptions {
  /** Run folder. */
  readonly run: string;
  readonly checkpoint: CheckpointName;
  /** File to write. */
  readonly out: string;
  /** Artifact folder. Default: the one the run was trained with. */
  readonly artifacts?: string;
  /** Takes pictures as they are: input `image` uint8 [H, W, 3]. */
  readonly rawImages?: boolean;
  /** Gives `probabilities` in the place of `logits`. */
  readonly probabilities?: boolean;
  /** Weights in fewer bits; needs the validation images, to tell what it costs. */
  readonly compression?: Compression;
  /** Share of accuracy that `compression` may cost. Default 0.01. */
  readonly maxAccuracyDrop?: number;
  /** Data folder of the run. Default: where it was in training. */
  readonly data?: string;
  /** Does without trying the file on the validation images. */
  readonly skipReplay?: boolean;
  /** The validation images of a run on data sets in code. */
  readonly valDataset?: Dataset;
}

/** What was written, and how it did. */
export interface ExportResult {
  readonly file: string;
  readonly bytes: number;
  readonly classes: readonly string[];
  /** Largest difference of a logit from the evaluation graph's, in the trial; before compression. */
  readonly maxDifference: number;
  /** The file on the validation images; null where they are not at hand. */
  readonly replay: Replay | null;
}

/**
 * Writes a run's network as one ONNX file: BatchNorm folded, weights inside, input `input` float32
 * [N, 3, S, S] (normalised), output `logits` [N, C] (or what the options say), and what a user of the file
 * must know in `metadata_props`.
 *
 * Before the file gets its name, the model and the evaluation graph run on the same random images, and
 * every validation image goes through the file in a new session: its top classes must be those of
 * training's own evaluation.
 *
 * @throws WeightsError for a damaged checkpoint; TrainingError if the model gives other results, or
 *   compression costs too much; ConfigError if compression cannot be judged.
 */
export async function exportInference(
  options: ExportOptions,
  platform: Platform,
): Promise<ExportResult> {
  const { model, source, maxDifference } = await buildModel(options, platform.ort);
  const validation = options.skipReplay === true ? null : await findValidation(source, options);
  const found =
    validation === null ? null : await verifyExport(model, source.artifacts, validation, platform);
  checkReplay(found, options);
  await writeFileAtomic(options.out, model);
  const { classes } = source.run;
  return { file: options.out, bytes: model.byteLength, classes, maxDifference, replay: found };
}

export interface BuiltModel {
  readonly model: Uint8Array;
  readonly source: RunWeights;
  readonly maxDifference: number;
}

/** Builds the model and compares it with the evaluation graph. */
export async function buildModel(options: ExportOptions, ort: OrtBackend): Promise<BuiltModel> {
  const source = await openRunWeights(options);
  const { artifacts, state, run } = source;
  const properties = describe(source, options);
  const plain = await buildInferenceModel(artifacts, state, { classes: run.classes, properties });
  const maxDifference = await compareWithEvaluation(artifacts, state, plain, ort);
  if (!(maxDifference <= EXPORT_TOLERANCE)) {
    throw new TrainingError(
      `expected the exported model's logits within ${EXPORT_TOLERANCE} of the evaluation graph's, ` +
        `got a difference of ${maxDifference}; nothing was written, please report this`,
    );
  }
  const model = parseModel(options.out, plain);
  if (options.compression !== undefined) compressWeights(model, options.compression);
  if (options.rawImages === true) await withRawImages(model, artifacts);
  if (options.probabilities === true) withProbabilities(model);
  return { model: toBinary(ModelProtoSchema, model), source, maxDifference };
}

/** Settings that say where something was on one machine, and nothing of the model. */
const PLACES = ['data', 'out', 'artifacts', 'weights', 'workers', 'threads', 'classes', 'arch'];

/** `metadata_props` beside those of every inference model. docs/model-file.md explains them. */
function describe({ run, config }: RunWeights, options: ExportOptions): Record<string, string> {
  const settings = Object.entries(config).filter(([name]) => !PLACES.includes(name));
  return {
    epoch: String(run.epoch),
    ...(run.best === null ? {} : { validation: JSON.stringify(run.best) }),
    input_format: options.rawImages === true ? 'uint8 HWC RGB' : 'float32 NCHW RGB normalised',
    output_format: options.probabilities === true ? 'probabilities' : 'logits',
    weights_format: options.compression ?? 'fp32',
    settings: JSON.stringify(Object.fromEntries(settings)),
    data_fingerprint: run.fingerprints.data,
    artifacts_fingerprint: run.fingerprints.artifacts,
    producer: producer(),
  };
}

/** Null where the images are not at hand. */
async function findValidation(
  { folder, config, run }: RunWeights,
  { checkpoint, data, valDataset, compression }: ExportOptions,
): Promise<Validation | null> {
  const saved = await savedValidation(folder.dir, checkpoint, run.epoch);
  const dir = validationFolder(config, data);
  const custom = config.customDataset === true;
  if (saved !== null && valDataset !== undefined) return { dataset: valDataset, expected: saved };
  if (saved !== null && dir !== null && (!custom || data !== undefined)) {
    return { dataset: savedDataset(saved, dir), expected: saved };
  }
  if (data !== undefined || compression !== undefined) {
    const missing = saved === null ? 'the predictions of its validation' : 'its validation images';
    throw new ConfigError(
      `expected the run to have ${missing}, found none; ` +
        `${saved === null ? 'train it again' : 'give its data folder with --data'}, or export without`,
    );
  }
  return null;
}

function checkReplay(found: Replay | null, options: ExportOptions): void {
  if (found === null) return;
  const { images, differing, accuracy, expectedAccuracy } = found;
  if (options.compression === undefined) {
    if (differing === 0) return;
    throw new TrainingError(
      `expected the exported model's top class to be that of training's evaluation for all ${images} ` +
        `validation images, got another for ${differing}; nothing was written; if the images were changed, see --skip-replay`,
    );
  }
  const allowed = options.maxAccuracyDrop ?? MAX_ACCURACY_DROP;
  const drop = expectedAccuracy - accuracy;
  if (drop <= allowed) return;
  throw new TrainingError(
    `expected ${options.compression} weights to cost at most ${formatShare(allowed)} of accuracy, got ` +
      `${formatShare(drop)} (${formatShare(accuracy)}, was ${formatShare(expectedAccuracy)}); nothing was ` +
      'written, export without, or allow more with --max-accuracy-drop',
  );
}

/** Runs model and evaluation graph on the same images; returns the largest difference of a logit. */
export async function compareWithEvaluation(
  artifacts: Artifacts,
  state: State,
  model: Uint8Array,
  ort: OrtBackend,
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
  const runtime = new OrtWorker(ort, 'cpu');
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
