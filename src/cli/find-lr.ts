/** The command `find-lr`. */

import { OUTPUT_FLAGS, voice } from './output.js';
import { runInterruptible } from './interrupt.js';
import { commandLine, quote } from './train.js';
import { Validator, flagName } from '../config/train-options.js';
import { ConfigError } from '../common/errors.js';
import { writeFileAtomic } from '../platform/node/files.js';
import {
  type FindLrOptions,
  RANGE_DEFAULTS,
  SHARED_OPTIONS,
  resolveFindLr,
} from '../config/find-lr-options.js';
import { NUMBER, TRAIN_FLAGS, trainOptions, type Arguments, type Flag } from './flags.js';
import { launchInfoFromEnv } from '../distributed/launcher.js';
import { formatRoughRate } from '../common/format.js';
import { producer } from '../common/package-info.js';
import { nodePlatform } from '../platform/node/node-platform.js';

function rangeFlag(option: keyof typeof RANGE_DEFAULTS, describe: string): Flag {
  return { describe, shownDefault: String(RANGE_DEFAULTS[option]) };
}

function sharedFlags(): Record<string, Flag> {
  const names: readonly string[] = SHARED_OPTIONS.map(flagName);
  return Object.fromEntries(Object.entries(TRAIN_FLAGS).filter(([name]) => names.includes(name)));
}

const DEFAULT_PAGE = 'find-lr.html';

/** Those that mean something else than in training, or nothing there. */
export const RANGE_FLAGS: Readonly<Record<string, Flag>> = {
  'min-lr': rangeFlag('minLr', 'Learning rate of the first step'),
  'max-lr': rangeFlag('maxLr', 'Learning rate of the last step'),
  steps: rangeFlag('steps', 'Steps from the one to the other'),
  out: { describe: 'Page to write, with the plot', shownDefault: DEFAULT_PAGE },
  ...OUTPUT_FLAGS,
};

export const FIND_LR_FLAGS: Readonly<Record<string, Flag>> = { ...sharedFlags(), ...RANGE_FLAGS };

/** Prints the suggestion, and writes the page with the plot. */
export async function findLrCommand(given: Arguments): Promise<void> {
  if ((launchInfoFromEnv()?.size ?? 1) > 1) {
    throw new ConfigError(
      'expected find-lr in one process, got several ranks; start it without mpirun or srun',
    );
  }
  const speak = voice(given, process.stdout, process.stderr);
  const page = new Validator('flag').text('out', 'a file name', given.out ?? DEFAULT_PAGE);
  const options = findLrOptions(given);
  resolveFindLr(options, 'flag');
  const { findLr } = await import('../train/find-lr.js');
  const result = await runInterruptible(
    speak,
    'stopping after this step',
    // findLr() checks every value again.
    (reins) => findLr({ ...(options as FindLrOptions), ...reins }, 'flag', nodePlatform),
    (_, signal) => signal.aborted,
  );
  const { findLrPage, findLrLines } = await import('../report/find-lr-page.js');
  await writeFileAtomic(page, findLrPage(result, producer()));
  if (given.json === true) {
    process.stdout.write(`${JSON.stringify({ type: 'end', result, page })}\n`);
  }
  for (const line of findLrLines(result)) speak.note(line);
  speak.note(`Plot  ${page}`);
  if (result.suggestion === null) return;
  const data = quote(String(given.data));
  const rate = formatRoughRate(result.suggestion.lr);
  speak.note(`Next: ${commandLine('train', `--data ${data} --lr ${rate}`)}`);
}

function findLrOptions(given: Arguments): Partial<Record<keyof FindLrOptions, unknown>> {
  const numbers = Object.keys(RANGE_DEFAULTS).flatMap((option) => {
    const value = given[flagName(option)];
    if (value === undefined) return [];
    const isNumber = typeof value === 'string' && NUMBER.test(value);
    return [[option, isNumber ? Number(value) : value] as const];
  });
  const shared = trainOptions(given);
  // Of training it is a folder.
  delete shared.out;
  return { ...shared, ...Object.fromEntries(numbers) };
}
