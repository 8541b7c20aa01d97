/** What an exported model says of itself, in its `metadata_props` and its input. */

import { readFile } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { bundledArtifacts, openArtifacts, type Artifacts } from '../artifacts/open-artifacts.js';
import { ArtifactError, ConfigError, WeightsError } from '../common/errors.js';
import { parseModel } from '../onnx/inference-model.js';

/** A model file, and what its metadata say of it. */
export interface ModelFile {
  readonly bytes: Uint8Array;
  readonly arch: string;
  /** In the order of the output. */
  readonly classes: readonly string[];
  /** As in the manifest. */
  readonly preprocessing: unknown;
  /** `image`: a decoded picture of any size. `input`: normalised pixels. */
  readonly input: 'image' | 'input';
  readonly output: 'logits' | 'probabilities';
}

/**
 * Reads a model that `export-inference` wrote.
 *
 * @throws ConfigError if there is no such file; WeightsError if it is something else.
 */
export async function readModelFile(file: string): Promise<ModelFile> {
  const bytes = await readFile(file).catch((cause: unknown) => {
    throw new ConfigError(
      `expected a model at ${file}, found ${(cause as NodeJS.ErrnoException).code ?? 'an error'}; check the path`,
      { cause },
    );
  });
  return describeModel(file, bytes);
}

/** What the bytes of a model say. @param file for messages. */
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
  const classes = json(properties.get('classes'));
  const arch = properties.get('arch');
  const input = model.graph?.input[0]?.name;
  const output = model.graph?.output[0]?.name;
  if (!isNames(classes) || arch === undefined) throw refuse('no class names in its metadata');
  if (input !== 'image' && input !== 'input') throw refuse(`the input ${input ?? 'none'}`);
  if (output !== 'logits' && output !== 'probabilities') {
    throw refuse(`the output ${output ?? 'none'}`);
  }
  const preprocessing = json(properties.get('preprocessing'));
  return { bytes, arch, classes, preprocessing, input, output };
}

function json(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? '');
  } catch {
    return undefined;
  }
}

function isNames(value: unknown): value is string[] {
  return Array.isArray(value) && value.length > 0 && value.every((v) => typeof v === 'string');
}

/**
 * The artifacts whose preprocessing a model expects.
 *
 * @param dir artifact folder; default: the package's own of the model's architecture.
 * @throws ArtifactError if their preprocessing is another.
 */
export async function artifactsOf(model: ModelFile, dir?: string): Promise<Artifacts> {
  const artifacts = await openArtifacts(dir ?? bundledArtifacts(model.arch));
  if (!isDeepStrictEqual(artifacts.manifest.preprocessing, model.preprocessing)) {
    throw new ArtifactError(
      `expected artifacts with the model's preprocessing, found another in ${artifacts.dir}; give those it was trained with`,
    );
  }
  return artifacts;
}
