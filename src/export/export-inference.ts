/** Exports a run's checkpoint as one ONNX file, and verifies the file before it gets its name. */

import { toBinary } from '@bufbuild/protobuf';
import { openRunWeights, type RunWeights } from '../checkpoint/load-run.js';
import { exifOf } from '../checkpoint/resume-point.js';
import { TrainingError } from '../common/errors.js';
import { formatShare } from '../common/format.js';
import {
  type ExportOptions,
  type ResolvedExportOptions,
  resolveExportOptions,
} from '../config/export-options.js';
import { checkOutput } from '../config/check-output.js';
import { type Naming, Validator } from '../config/validator.js';
import { describeModel } from '../inference/model-file.js';
import { buildInferenceModel, parseModel } from '../onnx/inference-model.js';
import { ModelProtoSchema } from '../onnx/onnx_pb.js';
import type { ExifUse, Platform } from '../platform/platform.js';
import { findValidation } from './find-validation.js';
import { modelMetadata } from './model-metadata.js';
import { DeviationMeter, type Deviation } from './measure-deviation.js';
import { verifyExport, type Replay } from './verify-export.js';
import { applyForms } from './forms.js';

/**
 * Largest difference of an output between a model in float32 and the evaluation graph, as a share of the largest logit
 * if that is above 1: float32 rounds in proportion to the numbers.
 */
const TOLERANCE = 1e-4;

/** The file that was written, and how it did. */
export interface ExportResult {
  /** Path of the file. */
  readonly file: string;
  /** Its size. */
  readonly bytes: number;
  /** Names of the classes, in the order of the output. */
  readonly classes: readonly string[];
  /** Use of the EXIF orientation that the network was trained with. */
  readonly exif: ExifUse;
  /** The output that {@link maxDifference} is about. */
  readonly output: 'logits' | 'probabilities';
  /** Largest difference of an output of the written file from the evaluation graph's, on random images. */
  readonly maxDifference: number;
  /** The file on the validation images; null if they are not there. */
  readonly replay: Replay | null;
}

/** Returns whether the bytes of a file are a model of an export, in any form. */
export function isModel(bytes: Uint8Array): boolean {
  try {
    describeModel('', bytes);
    return true;
  } catch {
    return false;
  }
}

/**
 * Exports the network of a run. Checks the options first, and that nothing but an older model is replaced.
 *
 * @param naming how messages name an option.
 */
export async function exportInference(
  options: ExportOptions,
  naming: Naming,
  platform: Platform,
): Promise<ExportResult> {
  const resolved = resolveExportOptions(options, naming);
  const expected = 'a new file, or a model that "export-inference" wrote';
  const output = { option: 'out', file: resolved.out, expected, isOwn: isModel };
  await checkOutput(output, new Validator(naming));
  const { model, source, maxDifference } = await buildModel(resolved, platform);
  const validation = resolved.skipReplay
    ? null
    : await findValidation(source, resolved, naming, platform.files);
  const replay =
    validation === null ? null : await verifyExport(model, source.artifacts, validation, platform);
  checkReplay(replay, resolved, naming);
  await platform.files.write(resolved.out, model);
  const { classes } = source.run;
  const exif = exifOf(source.run);
  const shape = resolved.probabilities ? 'probabilities' : 'logits';
  const file = { file: resolved.out, bytes: model.byteLength };
  return { ...file, classes, exif, output: shape, maxDifference, replay };
}

interface BuiltModel {
  readonly model: Uint8Array;
  readonly source: RunWeights;
  readonly maxDifference: number;
}

/** Builds the model and measures it, before and after it gets its form, against the evaluation graph. */
async function buildModel(options: ResolvedExportOptions, platform: Platform): Promise<BuiltModel> {
  const source = await openRunWeights(options, platform);
  const { artifacts, state, run } = source;
  const properties = modelMetadata(source, options);
  const plain = await buildInferenceModel(artifacts, state, { classes: run.classes, properties });
  const meter = new DeviationMeter(source, platform.ort);
  try {
    const before = await meter.measure(plain, { rawImages: false, probabilities: false });
    checkDeviation(before);
    const { compression, rawImages, probabilities } = options;
    if (compression === undefined && !rawImages && !probabilities) {
      return { model: plain, source, maxDifference: before.maxDifference };
    }
    const parsed = parseModel(options.out, plain);
    await applyForms(parsed, options, artifacts);
    const model = toBinary(ModelProtoSchema, parsed);
    const deviation = await meter.measure(model, options);
    // Fewer bits change the outputs by design; how much accuracy they may cost is an option.
    if (compression === undefined) checkDeviation(deviation);
    return { model, source, maxDifference: deviation.maxDifference };
  } finally {
    await meter.close();
  }
}

/** @throws TrainingError if the model's outputs are not the evaluation graph's. */
function checkDeviation({ maxDifference, largestLogit }: Deviation): void {
  if (!Number.isFinite(largestLogit)) {
    throw new TrainingError(
      `expected finite logits from the checkpoint, got ${largestLogit}; nothing was written, ` +
        'train again with a lower --lr',
    );
  }
  const bound = TOLERANCE * Math.max(1, largestLogit);
  if (maxDifference <= bound) return;
  throw new TrainingError(
    `expected the exported model's outputs within ${bound.toExponential(1)} of the evaluation graph's ` +
      `(largest logit ${largestLogit.toPrecision(3)}), got a difference of ${maxDifference.toExponential(1)}; ` +
      'nothing was written, please report this',
  );
}

/** @throws TrainingError if the model is not as good as training said. */
function checkReplay(
  found: Replay | null,
  { compression, maxAccuracyDrop }: ResolvedExportOptions,
  naming: Naming,
): void {
  if (found === null) return;
  const option = (name: string): string => new Validator(naming).name(name);
  const { images, differing, accuracy, expectedAccuracy } = found;
  if (compression === undefined) {
    if (differing === 0) return;
    throw new TrainingError(
      `expected the exported model's top class to be that of training's evaluation for all ${images} ` +
        `validation images, got another for ${differing}; nothing was written; if the images were changed, see ${option('skipReplay')}`,
    );
  }
  const drop = expectedAccuracy - accuracy;
  if (drop <= maxAccuracyDrop) return;
  throw new TrainingError(
    `expected ${compression} weights to cost at most ${formatShare(maxAccuracyDrop)} of accuracy, got ` +
      `${formatShare(drop)} (${formatShare(accuracy)}, was ${formatShare(expectedAccuracy)}); nothing was ` +
      `written, export without, or allow more with ${option('maxAccuracyDrop')}`,
  );
}
