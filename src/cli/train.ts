/** The command `train`. */

import { ConfigError, InterruptedError } from '../common/errors.js';
import type { TrainResult } from '../common/events.js';
import { readConfigFile } from '../config/config-file.js';
import { resolveTrainOptions, type TrainOptions } from '../config/train-options.js';
import { Validator } from '../config/validator.js';
import { trainOptions, type Arguments } from './flags.js';
import { runInterruptible } from './interrupt.js';
import { commandLine, joinRanks, openOutput, quote, type Output } from './output.js';

/** Trains on the images of a folder. */
export async function trainCommand(given: Arguments): Promise<void> {
  await joinRanks();
  const output = openOutput(given, process.stdout, process.stderr);
  const options = { ...fileOptions(given), ...trainOptions(given) };
  const { runDir } = await trainWithOutput(options, output);
  output.info(`Next: ${commandLine('export-inference', `--run ${quote(runDir)}`)}`);
}

/** Returns the settings in the file of `--config`. */
function fileOptions(given: Arguments): ReturnType<typeof trainOptions> {
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
export async function trainWithOutput(
  options: ReturnType<typeof trainOptions>,
  output: Output,
): Promise<TrainResult> {
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
  const next = commandLine('train', `--resume ${quote(runDir)}`);
  return `Stopped after step ${step}; to go on: ${next}`;
}
