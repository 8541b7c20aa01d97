/** The commands `evaluate` and `predict`. */

import { bundledArtifacts } from '../artifacts/node/bundled-artifacts.js';
import type { Classifier } from '../inference/classifier.js';
import { RANGES, Validator, rangeText } from '../config/train-options.js';
import { ConfigError } from '../common/errors.js';
import type { Arguments, Flag } from './flags.js';
import type { Prediction } from '../inference/predict.js';
import { nodePlatform } from '../platform/node/node-platform.js';

/** Where the lines of a command go. */
export interface Streams {
  readonly out: (text: string) => void;
  readonly problems: (text: string) => void;
  readonly input: AsyncIterable<Uint8Array>;
}

const SOURCE_FLAGS: Readonly<Record<string, Flag>> = {
  run: { describe: 'Run folder of an earlier training' },
  checkpoint: { describe: 'Which weights of the run: best or last', shownDefault: 'best' },
  model: { describe: 'Model file of export-inference, in place of --run' },
};

const COMMON: Readonly<Record<string, Flag>> = {
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

export const EVALUATE_FLAGS: Readonly<Record<string, Flag>> = {
  ...SOURCE_FLAGS,
  data: { describe: 'Folder with CLASS/*, or with train/ and val/CLASS/* (required)' },
  ...COMMON,
};

export const PREDICT_FLAGS: Readonly<Record<string, Flag>> = {
  ...SOURCE_FLAGS,
  top: { describe: 'Most probable classes to show', shownDefault: '5' },
  ...COMMON,
};

const WHOLE = /^\d+$/;

function count(given: Arguments, name: string, range: { min: number; max: number }): number | null {
  const value = given[name];
  if (value === undefined) return null;
  const number = typeof value === 'string' && WHOLE.test(value) ? Number(value) : NaN;
  if (number >= range.min && number <= range.max) return number;
  const expected = rangeText({ integer: true, ...range });
  throw new Validator('flag').error(name, expected, value, 'leave it out for the default');
}

function format(given: Arguments): 'text' | 'json' | 'csv' {
  const { json, csv } = given;
  if (json === true && csv === true) {
    throw new ConfigError('expected --json or --csv, got both; choose one');
  }
  return json === true ? 'json' : csv === true ? 'csv' : 'text';
}

/** The network that `--run` or `--model` names. */
async function openSource(given: Arguments): Promise<Classifier> {
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
    const { nodePlatform } = await import('../platform/node/node-platform.js');
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

export async function evaluateCommand(given: Arguments, { out }: Streams): Promise<void> {
  const form = format(given);
  const data = new Validator('flag').folder('data', 'a folder of labelled images', given.data);
  const classifier = await openSource(given);
  try {
    const { evaluateFolder, evaluationCsv, evaluationText } =
      await import('../inference/evaluate-folder.js');
    const result = await evaluateFolder(classifier, data);
    if (form === 'json') out(`${JSON.stringify(result)}\n`);
    else if (form === 'csv') out(evaluationCsv(result));
    else out(`${evaluationText(result).join('\n')}\n`);
  } finally {
    await classifier.close();
  }
}

/** @returns how many images could not be read. */
export async function predictCommand(
  given: Arguments,
  { out, problems, input }: Streams,
): Promise<number> {
  const form = format(given);
  const [, ...words] = given._ as string[];
  if (words.length === 0) {
    throw new ConfigError(
      'expected images, folders, patterns or - for standard input, got none; name some after the flags',
    );
  }
  const top = count(given, 'top', { min: 1, max: 1_000_000 }) ?? 5;
  const classifier = await openSource(given);
  let failures = 0;
  try {
    const { PREDICTION_CSV_HEAD, findImages, predict, predictionCsv, predictionText } =
      await import('../inference/predict.js');
    const show: Record<typeof form, (prediction: Prediction) => void> = {
      json: (prediction) => {
        out(`${JSON.stringify(prediction)}\n`);
      },
      csv: (prediction) => {
        out(predictionCsv(prediction));
      },
      text: (prediction) => {
        if (prediction.error === undefined) out(`${predictionText(prediction)}\n`);
        else problems(`error: ${prediction.error}\n`);
      },
    };
    if (form === 'csv') out(PREDICTION_CSV_HEAD);
    for await (const prediction of predict(classifier, findImages(words, input), top)) {
      if (prediction.error !== undefined) failures++;
      show[form](prediction);
    }
  } finally {
    await classifier.close();
  }
  return failures;
}
