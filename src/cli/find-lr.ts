/** The command `find-lr`. */

import { ConfigError } from '../common/errors.js';
import { formatRate, formatRoughRate } from '../common/format.js';
import { producer } from '../common/package-info.js';
import {
  type FindLrOptions,
  RANGE_DEFAULTS,
  SHARED_OPTIONS,
  resolveFindLr,
} from '../config/find-lr-options.js';
import { Validator, flagName } from '../config/validator.js';
import { launchInfoFromEnv } from '../distributed/launcher.js';
import { writeFileAtomic } from '../common/node/atomic-file.js';
import type { FindLrResult } from '../train/find-lr.js';
import { NUMBER, TRAIN_FLAGS, trainOptions, type Arguments, type Flag } from './flags.js';
import { runInterruptible } from './interrupt.js';
import { OUTPUT_FLAGS, commandLine, openOutput, printLine, quote } from './output.js';

function rangeFlag(option: keyof typeof RANGE_DEFAULTS, describe: string): Flag {
  return { describe, shownDefault: String(RANGE_DEFAULTS[option]) };
}

function sharedFlags(): Record<string, Flag> {
  const names: readonly string[] = SHARED_OPTIONS.map(flagName);
  return Object.fromEntries(Object.entries(TRAIN_FLAGS).filter(([name]) => names.includes(name)));
}

const DEFAULT_PAGE = 'find-lr.html';

/** The flags that `train` does not have, or that mean something else there. */
export const RANGE_FLAGS: Readonly<Record<string, Flag>> = {
  'min-lr': rangeFlag('minLr', 'Learning rate of the first step'),
  'max-lr': rangeFlag('maxLr', 'Learning rate of the last step'),
  steps: rangeFlag('steps', 'Steps from the one to the other'),
  out: { describe: 'Page to write, with the plot', shownDefault: DEFAULT_PAGE },
  ...OUTPUT_FLAGS,
};

export const FIND_LR_FLAGS: Readonly<Record<string, Flag>> = { ...sharedFlags(), ...RANGE_FLAGS };

/** Prints the suggested rate, and writes the page with the plot. */
export async function findLrCommand(given: Arguments): Promise<void> {
  if ((launchInfoFromEnv()?.size ?? 1) > 1) {
    throw new ConfigError(
      'expected find-lr in one process, got several ranks; start it without mpirun or srun',
    );
  }
  const output = openOutput(given, process.stdout, process.stderr);
  const page = new Validator('flag').text('out', 'a file name', given.out ?? DEFAULT_PAGE);
  const options = findLrOptions(given);
  resolveFindLr(options, 'flag');
  const { findLr } = await import('../train/find-lr.js');
  const { nodePlatform } = await import('../platform/node/node-platform.js');
  const result = await runInterruptible(output, {
    consequence: 'stopping after this step',
    // The cast is safe: findLr() checks every value again.
    run: (hooks) => findLr({ ...(options as FindLrOptions), ...hooks }, 'flag', nodePlatform),
    isStop: (_, signal) => signal.aborted,
  });
  const { findLrPage } = await import('../report/find-lr-page.js');
  await writeFileAtomic(page, findLrPage(result, producer()));
  if (given.json === true) printLine(JSON.stringify({ type: 'end', result, page }));
  output.info(suggestionText(result));
  output.info(`Plot  ${page}`);
  if (result.suggestion === null) return;
  const data = quote(String(given.data));
  const rate = formatRoughRate(result.suggestion.lr);
  output.info(`Next: ${commandLine('train', `--data ${data} --lr ${rate}`)}`);
}

/** Returns the result as a line for people. */
export function suggestionText({ points, suggestion }: FindLrResult): string {
  if (suggestion !== null) {
    const { lr, lowest } = suggestion;
    return `Suggested learning rate ${formatRoughRate(lr)} (the least loss was at ${formatRoughRate(lowest)})`;
  }
  const [first, last] = [points[0]?.lr ?? NaN, points.at(-1)?.lr ?? NaN];
  return (
    `No suggestion: in ${points.length} steps at rates from ${formatRate(first)} to ${formatRate(last)} the loss ` +
    'did not fall; try more --steps, another --max-lr or a larger --batch-size'
  );
}

function findLrOptions(given: Arguments): Partial<Record<keyof FindLrOptions, unknown>> {
  const numbers = Object.keys(RANGE_DEFAULTS).flatMap((option) => {
    const value = given[flagName(option)];
    if (value === undefined) return [];
    const isNumber = typeof value === 'string' && NUMBER.test(value);
    return [[option, isNumber ? Number(value) : value] as const];
  });
  const shared = trainOptions(given);
  // `out` is a run folder in `train` but a file here.
  delete shared.out;
  return { ...shared, ...Object.fromEntries(numbers) };
}
