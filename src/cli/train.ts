/** The commands `train` and `demo`. */

import { exportCommand } from './export-inference.js';
import { type Output, joinRanks, voice } from './output.js';
import { runInterruptible } from './interrupt.js';
import { readConfigFile } from '../config/config-file.js';
import {
  type TrainOptions,
  Validator,
  nextRunDir,
  resolveTrainOptions,
} from '../config/train-options.js';
import { ConfigError, InterruptedError } from '../common/errors.js';
import type { TrainResult } from '../common/events.js';
import { type Arguments, trainOptions } from './flags.js';
import { nodePlatform } from '../platform/node/node-platform.js';

/** The demo's settings: enough for the two textures of samples/ from random weights. */
const DEMO_SETTINGS = {
  weights: 'random',
  epochs: 6,
  batchSize: 8,
  lr: 0.003,
  stepSize: 4,
  seed: 0,
  device: 'cpu',
} as const;

export async function trainCommand(given: Arguments): Promise<void> {
  await joinRanks();
  const speak = voice(given, process.stdout, process.stderr);
  const { runDir } = await trainAndShow({ ...fileOptions(given), ...trainOptions(given) }, speak);
  speak.note(`Next: ${commandLine('export-inference', `--run ${quote(runDir)}`)}`);
}

/** @param data the samples. */
export async function demoCommand(given: Arguments, data: string): Promise<void> {
  const out = given.out ?? nextRunDir('demo');
  const speak = voice({}, process.stdout, process.stderr);
  const arch = given.arch === undefined ? {} : { arch: given.arch };
  const { runDir } = await trainAndShow({ ...DEMO_SETTINGS, ...arch, data, out }, speak);
  for (const line of await exportCommand({ run: runDir })) speak.note(line);
  speak.note(`Next: your own images, ${commandLine('train', '--data DIR')}`);
}

/** The settings of `--config`. */
function fileOptions(given: Arguments): ReturnType<typeof trainOptions> {
  if (given.config === undefined) return {};
  if (given.resume !== undefined) {
    throw new ConfigError(
      'expected --config or --resume, got both; a resumed run has its own settings',
    );
  }
  const validator = new Validator('flag');
  const options = readConfigFile(validator.text('config', 'a file of settings', given.config));
  // Either says which network.
  if (given.arch !== undefined) delete options.artifacts;
  if (given.artifacts !== undefined) delete options.arch;
  return options;
}

/** How this program is called: by an npm script of the repository, or by its own name. */
export function commandLine(command: string, rest: string): string {
  const byNpm = process.env.npm_lifecycle_script?.includes('scripts/run.mjs') === true;
  return byNpm ? `npm run ${command} -- ${rest}` : `ort-finetune ${command} ${rest}`;
}

export function quote(word: string): string {
  return /^[\w./\\:-]+$/.test(word) ? word : JSON.stringify(word);
}

async function trainAndShow(
  options: ReturnType<typeof trainOptions>,
  speak: Output,
): Promise<TrainResult> {
  // What a resumed run is to be is known only from its checkpoint.
  if (options.resume === undefined) resolveTrainOptions(options, 'flag');
  const { train } = await import('../train/train.js');
  return runInterruptible(
    speak,
    'stopping after this step, with a checkpoint',
    // train() checks every value again.
    (reins) => train({ ...(options as TrainOptions), ...reins }, 'flag', nodePlatform),
    (error) => {
      if (!(error instanceof InterruptedError)) return false;
      speak.listener.clear();
      speak.warn(stoppedText(error));
      return true;
    },
  );
}

function stoppedText({ runDir, step }: InterruptedError): string {
  if (runDir === null) return 'Stopped before the first step; nothing was written';
  const next = commandLine('train', `--resume ${quote(runDir)}`);
  return `Stopped after step ${step}; to go on: ${next}`;
}
