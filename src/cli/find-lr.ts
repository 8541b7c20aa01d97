/** The command `find-lr`. */

import { ConfigError } from '../common/errors.js';
import { formatRate, formatRoughRate } from '../common/format.js';
import { jsonLine, shellWord } from '../common/text.js';
import { producer } from '../common/node/package-info.js';
import {
  type FindLrOptions,
  RANGE_OPTIONS,
  SHARED_WITH_TRAIN,
  resolveFindLr,
} from '../config/find-lr-options.js';
import { checkOutput } from '../config/check-output.js';
import { resolveOptions } from '../config/options.js';
import { Validator } from '../config/validator.js';
import { launchInfoFromEnv } from '../distributed/launcher.js';
import { writeFileAtomic } from '../common/node/atomic-file.js';
import type { FindLrResult } from '../train/find-lr.js';
import { flagName } from '../config/validator.js';
import { optionsFrom, type Arguments, type Command } from './flags.js';
import { runInterruptible } from './interrupt.js';
import {
  OUTPUT_CONFLICTS,
  OUTPUT_OPTIONS,
  commandLine,
  openOutput,
  printLine,
} from './output/output.js';

const DEFAULT_PAGE = 'find-lr.html';

/** The flags that `train` does not have, or that mean something else there. */
export const OWN_OPTIONS = {
  ...RANGE_OPTIONS,
  out: {
    kind: 'text',
    expected: 'a file name',
    default: DEFAULT_PAGE,
    help: 'page to write, with the plot',
  },
  quiet: OUTPUT_OPTIONS.quiet,
  json: {
    ...OUTPUT_OPTIONS.json,
    docs: 'print events as lines of JSON; the last event is `end` and carries all rates and losses',
  },
} as const;

export const FIND_LR: Command = {
  describe: 'Find a learning rate: a short test at rates from small to large, with its plot',
  options: { ...SHARED_WITH_TRAIN, ...OWN_OPTIONS },
  conflicts: OUTPUT_CONFLICTS,
  run: findLrCommand,
};

/** Prints the suggested rate, and writes the page with the plot. */
async function findLrCommand(given: Arguments): Promise<void> {
  if ((launchInfoFromEnv()?.size ?? 1) > 1) {
    throw new ConfigError(
      'expected find-lr in one process, got several ranks; start it without mpirun or srun',
    );
  }
  const output = openOutput(given, process.stdout, process.stderr);
  const validator = new Validator('flag');
  const { out: page } = resolveOptions({ out: OWN_OPTIONS.out }, { out: given.out }, validator);
  const options = optionsFrom({ ...SHARED_WITH_TRAIN, ...RANGE_OPTIONS }, given);
  resolveFindLr(options, 'flag');
  const { findLrPage, isFindLrPage } = await import('../report/find-lr-page.js');
  const expected = 'a new file, or a page that find-lr wrote';
  await checkOutput({ option: 'out', file: page, expected, isOwn: isFindLrPage }, validator);
  const { findLr } = await import('../train/find-lr.js');
  const { nodePlatform } = await import('../platform/node/node-platform.js');
  const result = await runInterruptible(output, {
    consequence: 'stopping after this step',
    // The cast is safe: findLr() checks every value again.
    run: (hooks) => findLr({ ...(options as FindLrOptions), ...hooks }, 'flag', nodePlatform),
    isStop: (_, signal) => signal.aborted,
  });
  await writeFileAtomic(page, findLrPage(result, producer()));
  if (given.json === true) printLine(jsonLine({ type: 'end', result, page }));
  output.info(suggestionText(result));
  output.info(`Plot  ${page}`);
  if (result.suggestion === null) return;
  const { data, ...others } = optionsFrom(SHARED_WITH_TRAIN, given);
  const next = { data, lr: formatRoughRate(result.suggestion.lr), ...others };
  output.info(`Next: ${commandLine('train', flagText(next))}`);
}

/** Returns options as flags that can be pasted; an option that is true is a flag without a value. */
function flagText(options: Readonly<Record<string, unknown>>): string {
  return Object.entries(options)
    .filter(([, value]) => value !== undefined && value !== false)
    .map(
      ([name, value]) =>
        `--${flagName(name)}${value === true ? '' : ` ${shellWord(String(value))}`}`,
    )
    .join(' ');
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
