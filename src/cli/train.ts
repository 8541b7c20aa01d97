/** The command `train`. */

import { ConfigError, InterruptedError } from '../common/errors.js';
import type { TrainResult } from '../common/events.js';
import { shellWord } from '../common/text.js';
import { readConfigFile } from '../config/config-file.js';
import { TRAIN_OPTIONS, resolveTrainOptions, type TrainOptions } from '../config/train-options.js';
import { Validator } from '../config/validator.js';
import { optionsFrom, type Arguments, type Command } from './flags.js';
import { runInterruptible } from './interrupt.js';
import {
  OUTPUT_CONFLICTS,
  OUTPUT_OPTIONS,
  commandLine,
  joinRanks,
  openOutput,
  type Output,
} from './output/output.js';

type Unchecked = Partial<Record<keyof TrainOptions, unknown>>;

export const TRAIN: Command = {
  describe: 'Fine-tune on the images of a folder',
  options: {
    ...TRAIN_OPTIONS,
    config: {
      kind: 'text',
      expected: 'a file of settings',
      shownDefault: 'none',
      help: 'file of settings, such as config.json of an earlier run; flags override it',
      docs: 'file of settings, such as `config.json` of an earlier run; flags override it',
    },
    ...OUTPUT_OPTIONS,
  },
  conflicts: OUTPUT_CONFLICTS,
  run: trainCommand,
};

async function trainCommand(given: Arguments): Promise<void> {
  await joinRanks();
  const output = openOutput(given, process.stdout, process.stderr);
  const options = { ...fileOptions(given), ...optionsFrom(TRAIN_OPTIONS, given) };
  const { runDir } = await trainWithOutput(options, output);
  output.info(`Next: ${commandLine('export-inference', `--run ${shellWord(runDir)}`)}`);
}

/** Returns the settings in the file of `--config`. */
function fileOptions(given: Arguments): Unchecked {
  if (given.config === undefined) return {};
  if (given.resume !== undefined) {
    throw new ConfigError(
      'expected --config or --resume, got both; a resumed run has its own settings',
    );
  }
  const validator = new Validator('flag');
  const options = readConfigFile(validator.text('config', 'a file of settings', given.config));
  // --arch and --artifacts each choose the network: the flag replaces either setting of the file.
  if (given.arch !== undefined) delete options.artifacts;
  if (given.artifacts !== undefined) delete options.arch;
  return options;
}

/**
 * Trains, shows the progress and stops at a signal.
 *
 * @param options not yet checked.
 * @throws Stopped after a signal.
 */
export async function trainWithOutput(options: Unchecked, output: Output): Promise<TrainResult> {
  // Check before the slow imports. The settings of a resumed run are known only from its checkpoint.
  if (options.resume === undefined) resolveTrainOptions(options, 'flag');
  const { train } = await import('../train/train.js');
  const { nodePlatform } = await import('../platform/node/node-platform.js');
  return runInterruptible(output, {
    consequence: 'stopping after this step, with a checkpoint',
    // The cast is safe: train() checks every value again.
    run: (hooks) => train({ ...(options as TrainOptions), ...hooks }, 'flag', nodePlatform),
    isStop: (error) => {
      if (!(error instanceof InterruptedError)) return false;
      output.listener.clear();
      output.warn(stoppedText(error));
      return true;
    },
  });
}

function stoppedText({ runDir, step }: InterruptedError): string {
  if (runDir === null) return 'Stopped before the first step; nothing was written';
  const next = commandLine('train', `--resume ${shellWord(runDir)}`);
  return `Stopped after step ${step}; to go on: ${next}`;
}
