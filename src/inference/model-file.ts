/** Reads what an exported model says about itself in its `metadata_props`, its input and its output. */

import { pixelSettings } from '../artifacts/fingerprint.js';
import {
  openArtifacts,
  type ArtifactPlatform,
  type Artifacts,
} from '../artifacts/open-artifacts.js';
import { ArtifactError, ConfigError, WeightsError } from '../common/errors.js';
import { parseJson, sameJson } from '../common/json.js';
import { parseModel } from '../onnx/inference-model.js';
import { FileError, type ExifUse, type Files } from '../platform/platform.js';

/** A model file, and what its metadata say about it. */
export interface ModelFile {
  readonly bytes: Uint8Array;
  readonly arch: string;
  /** In the order of the output. */
  readonly classes: readonly string[];
  /** Settings of the preprocessing, as in the manifest. */
  readonly preprocessing: unknown;
  /** Use of the EXIF orientation that the network was trained with; `ignore` in files of earlier versions. */
  readonly exif: ExifUse;
  /** `image`: a decoded image of any size. `input`: normalised pixels. */
  readonly input: 'image' | 'input';
  readonly output: 'logits' | 'probabilities';
}

/**
 * Reads a model that `export-inference` wrote.
 *
 * @throws ConfigError if there is no such file; WeightsError if it is something else.
 */
export async function readModelFile(file: string, files: Files): Promise<ModelFile> {
  const bytes = await files.read(file).catch((cause: unknown) => {
    const found = cause instanceof FileError ? cause.code : 'an error';
    throw new ConfigError(`expected a model at ${file}, found ${found}; check the path`, { cause });
  });
  return describeModel(file, bytes);
}

/**
 * Returns what the bytes of a model say about it.
 *
 * @param file its name in messages.
 * @throws WeightsError unless it is a model of `export-inference`.
 */
export function describeModel(file: string, bytes: Uint8Array): ModelFile {
  const refuse = (found: string, cause?: unknown): WeightsError =>
    new WeightsError(
      `expected a model of "export-inference" in ${file}, found ${found}; export the run again`,
      { cause },
    );
  let model;
  try {
    model = parseModel(file, bytes);
  } catch (cause) {
    throw refuse('something that is not ONNX', cause);
  }
  const properties = new Map(model.metadataProps.map(({ key, value }) => [key, value]));
  const classes = parseJson(properties.get('classes'));
  const arch = properties.get('arch');
  const input = model.graph?.input[0]?.name;
  const output = model.graph?.output[0]?.name;
  if (!isNames(classes) || arch === undefined) throw refuse('no class names in its metadata');
  if (input !== 'image' && input !== 'input') throw refuse(`the input ${input ?? 'none'}`);
  if (output !== 'logits' && output !== 'probabilities') {
    throw refuse(`the output ${output ?? 'none'}`);
  }
  const exif = properties.get('exif') ?? 'ignore';
  if (exif !== 'ignore' && exif !== 'apply') throw refuse(`the exif ${exif} in its metadata`);
  const preprocessing = parseJson(properties.get('preprocessing'));
  return { bytes, arch, classes, preprocessing, exif, input, output };
}

function isNames(value: unknown): value is string[] {
  return Array.isArray(value) && value.length > 0 && value.every((v) => typeof v === 'string');
}

/**
 * Opens the artifacts whose preprocessing a model expects.
 *
 * @param dir artifact folder.
 * @throws ArtifactError if their preprocessing is another.
 */
export async function artifactsOf(
  model: ModelFile,
  dir: string,
  platform: ArtifactPlatform,
): Promise<Artifacts> {
  const artifacts = await openArtifacts(dir, platform);
  if (
    !sameJson(pixelSettings(artifacts.manifest.preprocessing), pixelSettings(model.preprocessing))
  ) {
    throw new ArtifactError(
      `expected artifacts with the model's preprocessing, found another in ${artifacts.dir}; give those it was trained with`,
    );
  }
  return artifacts;
}
