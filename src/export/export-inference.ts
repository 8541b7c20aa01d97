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
import { type Naming, Validator } from '../config/validator.js';
import { buildInferenceModel, parseModel } from '../onnx/inference-model.js';
import { ModelProtoSchema } from '../onnx/onnx_pb.js';
import type { ExifUse, Platform } from '../platform/platform.js';
import { findValidation } from './find-validation.js';
import { modelMetadata } from './model-metadata.js';
import { compareWithEvaluation, verifyExport, type Replay } from './verify-export.js';
import { applyForms } from './forms.js';

/** Largest difference of a logit between the exported model and the evaluation graph. */
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
  /** Largest difference of a logit from the evaluation graph's on random images, before compression. */
  readonly maxDifference: number;
  /** The file on the validation images; null if they are not there. */
  readonly replay: Replay | null;
}

/**
 * Exports the network of a run. Checks the options first.
 *
 * @param naming how messages name an option.
 */
export async function exportInference(
  options: ExportOptions,
  naming: Naming,
  platform: Platform,
): Promise<ExportResult> {
  const resolved = resolveExportOptions(options, naming);
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
  return { file: resolved.out, bytes: model.byteLength, classes, exif, maxDifference, replay };
}

interface BuiltModel {
  readonly model: Uint8Array;
  readonly source: RunWeights;
  readonly maxDifference: number;
}

/** Builds the model and compares it with the evaluation graph. */
async function buildModel(options: ResolvedExportOptions, platform: Platform): Promise<BuiltModel> {
  const source = await openRunWeights(options, platform);
  const { artifacts, state, run } = source;
  const properties = modelMetadata(source, options);
  const plain = await buildInferenceModel(artifacts, state, { classes: run.classes, properties });
  const maxDifference = await compareWithEvaluation(artifacts, state, plain, platform.ort);
  if (!(maxDifference <= TOLERANCE)) {
    throw new TrainingError(
      `expected the exported model's logits within ${TOLERANCE} of the evaluation graph's, ` +
        `got a difference of ${maxDifference}; nothing was written, please report this`,
    );
  }
  const model = parseModel(options.out, plain);
  await applyForms(model, options, artifacts);
  return { model: toBinary(ModelProtoSchema, model), source, maxDifference };
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
