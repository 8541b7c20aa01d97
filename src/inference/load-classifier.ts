/** Opens the classifier that options name: the network of a run, or of a model file. */

import { bundledArtifacts } from '../artifacts/node/bundled-artifacts.js';
import { openRunWeights } from '../checkpoint/load-run.js';
import { exifOf, inputSizeOf } from '../checkpoint/resume-point.js';
import type { ResolvedSource } from '../config/classifier-options.js';
import { buildInferenceModel } from '../onnx/inference-model.js';
import type { Platform } from '../platform/platform.js';
import { Classifier } from './classifier.js';
import { artifactsOf, readModelFile } from './model-file.js';

/**
 * Opens a classifier. The caller closes it.
 *
 * @throws ConfigError if there is no such run or model; ArtifactError if the artifacts do not fit; WeightsError if the
 *   checkpoint or the model is damaged.
 */
export async function loadClassifier(
  { from, artifacts: dir, ...threads }: ResolvedSource,
  platform: Platform,
): Promise<Classifier> {
  const options = { ...threads, platform };
  if ('model' in from) {
    const file = await readModelFile(from.model, platform.files);
    // A model that takes decoded images preprocesses them itself.
    if (file.input === 'image') return Classifier.open(file.bytes, null, options);
    const own = bundledArtifacts(file.arch, inputSizeOf(Object(file.preprocessing) as object));
    const artifacts = await artifactsOf(file, dir ?? own, platform);
    return Classifier.open(file.bytes, artifacts, options);
  }
  const { artifacts, state, run } = await openRunWeights({ ...from, artifacts: dir }, platform);
  const properties = { exif: exifOf(run) };
  const metadata = { classes: run.classes, properties };
  const bytes = await buildInferenceModel(artifacts, state, metadata);
  return Classifier.open(bytes, artifacts, options);
}
