/** The flags and checks that `evaluate` and `predict` share. */

import { bundledArtifacts } from '../artifacts/node/bundled-artifacts.js';
import { ConfigError } from '../common/errors.js';
import { RANGES, Validator } from '../config/train-options.js';
import type { Classifier } from '../inference/classifier.js';
import { NUMBER, type Arguments, type Flag } from './flags.js';

export const SOURCE_FLAGS: Readonly<Record<string, Flag>> = {
  run: { describe: 'Run folder of an earlier training' },
  checkpoint: { describe: 'Which weights of the run: best or last', shownDefault: 'best' },
  model: { describe: 'Model file of export-inference, in place of --run' },
};

export const CLASSIFIER_FLAGS: Readonly<Record<string, Flag>> = {
  workers: { describe: 'Threads that decode and transform images', shownDefault: '4' },
  threads: {
    describe: 'CPU threads of the runtime; 0 leaves it to the runtime',
    shownDefault: '0',
  },
  artifacts: {
    describe: 'Artifact folder of the network',
    shownDefault: "the run's, or the package's for the model's network",
  },
  json: { describe: 'Print JSON', boolean: true },
  csv: { describe: 'Print comma-separated values', boolean: true },
};

/** Returns a flag's whole number, or null if the flag was left out. */
export function count(
  given: Arguments,
  name: string,
  { min, max }: { readonly min: number; readonly max: number },
): number | null {
  const value = given[name];
  if (value === undefined) return null;
  const number = typeof value === 'string' && NUMBER.test(value) ? Number(value) : value;
  return new Validator('flag').number(name, number, { integer: true, min, max });
}

export type Format = 'text' | 'json' | 'csv';

/** Returns the format that the flags ask for. */
export function outputFormat({ json, csv }: Arguments): Format {
  if (json === true && csv === true) {
    throw new ConfigError('expected --json or --csv, got both; choose one');
  }
  return json === true ? 'json' : csv === true ? 'csv' : 'text';
}

/** Opens the network that `--run` or `--model` names. */
export async function openClassifier(given: Arguments): Promise<Classifier> {
  const validator = new Validator('flag');
  const { run, model, checkpoint = 'best' } = given;
  if ((run === undefined) === (model === undefined)) {
    throw new ConfigError(
      `expected --run or --model, got ${run === undefined ? 'neither' : 'both'}; give one of them`,
    );
  }
  const artifacts =
    given.artifacts === undefined
      ? undefined
      : validator.folder('artifacts', 'an artifact folder', given.artifacts);
  const { nodePlatform } = await import('../platform/node/node-platform.js');
  const options = {
    workers: count(given, 'workers', RANGES.workers) ?? 4,
    threads: count(given, 'threads', RANGES.threads) ?? 0,
    platform: nodePlatform,
  };
  const { Classifier } = await import('../inference/classifier.js');
  if (model !== undefined) {
    if (given.checkpoint !== undefined) {
      throw new ConfigError('expected --checkpoint with --run, got it with --model; leave it out');
    }
    const { artifactsOf, readModelFile } = await import('../inference/model-file.js');
    const path = validator.text('model', 'a model file', model);
    const file = await readModelFile(path, nodePlatform.files);
    const used =
      file.input === 'image'
        ? null
        : await artifactsOf(file, artifacts ?? bundledArtifacts(file.arch), nodePlatform);
    return Classifier.open(file.bytes, used, options);
  }
  const { openRunWeights } = await import('../checkpoint/load-run.js');
  const { buildInferenceModel } = await import('../onnx/inference-model.js');
  const weights = await openRunWeights({
    run: validator.folder('run', 'the folder of an earlier training', run),
    checkpoint: validator.choice('checkpoint', checkpoint, ['best', 'last'] as const),
    ...(artifacts === undefined ? {} : { artifacts }),
  });
  const { classes } = weights.run;
  const bytes = await buildInferenceModel(weights.artifacts, weights.state, { classes });
  return Classifier.open(bytes, weights.artifacts, options);
}
