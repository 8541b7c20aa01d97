/** The flags and checks that `evaluate` and `predict` share. */

import { ConfigError } from '../common/errors.js';
import { numberOrText, type Arguments, type Flag } from './flags.js';

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

export type Format = 'text' | 'json' | 'csv';

/** Returns the format that the flags ask for. */
export function outputFormat({ json, csv }: Arguments): Format {
  if (json === true && csv === true) {
    throw new ConfigError('expected --json or --csv, got both; choose one');
  }
  return json === true ? 'json' : csv === true ? 'csv' : 'text';
}

/** Maps the flags of the network to options. `evaluate` and `predict` check the values. */
export function sourceOptions(given: Arguments): Record<string, unknown> {
  const { run, checkpoint, model, artifacts } = given;
  const [workers, threads] = [numberOrText(given.workers), numberOrText(given.threads)];
  return { run, checkpoint, model, artifacts, workers, threads };
}
