/** Flags: the options of a command's table by the names that users type, and the way from text to values. */

import { ConfigError } from '../common/errors.js';
import { nearest } from '../config/nearest.js';
import type { Option, OptionTable } from '../config/options.js';
import { flagName } from '../config/validator.js';

/** Parsed flags by name, with the command's words in `_`. A flag without its value is `true`. */
export type Arguments = Readonly<Record<string, unknown>>;

/** A command of the program. */
export interface Command {
  /** One line for `--help`. */
  readonly describe: string;
  /** The flags, under the names of the options they stand for. */
  readonly options: OptionTable;
  /** Pairs of flags that must not be given together. */
  readonly conflicts?: readonly (readonly [string, string])[];
  /** Other arguments of the command, for the usage line. */
  readonly words?: string;
  /** Runs the command and returns the exit code; without one, the exit code is 0. */
  readonly run: (given: Arguments) => Promise<number> | Promise<void>;
}

/** Flags of every command; they take no value. */
const COMMON_FLAGS = ['verbose', 'help', 'version'] as const;

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/**
 * Joins each flag for a number with a value that begins with a dash: `--lr -1e-3` becomes `--lr=-1e-3`. The parser would
 * take the value for a flag of one letter, unless it is a plain decimal number.
 *
 * @param words of a call, the command among them.
 */
export function joinNegative(
  words: readonly string[],
  commands: Readonly<Record<string, Pick<Command, 'options'>>>,
): string[] {
  const options = Object.values(commands).flatMap((command) => Object.entries(command.options));
  const numeric = new Set(
    options.flatMap(([name, { kind }]) => (isNumeric(kind) ? `--${flagName(name)}` : [])),
  );
  const end = words.includes('--') ? words.indexOf('--') : words.length;
  const joined: string[] = [];
  for (const [i, word] of words.entries()) {
    const before = joined.at(-1) ?? '';
    const isValue = i < end && /^-[^-]/.test(word) && word !== '-h';
    if (isValue && numeric.has(before)) joined[joined.length - 1] = `${before}=${word}`;
    else joined.push(word);
  }
  return joined;
}

function isNumeric(kind: Option['kind']): boolean {
  return kind === 'integer' || kind === 'number';
}

/** Returns a flag's text as the option's kind of value. Text that is not a number stays text, for the check to refuse. */
export function parseValue({ kind }: Option, text: unknown): unknown {
  if (!isNumeric(kind) || typeof text !== 'string' || !NUMBER.test(text)) return text;
  const value = Number(text);
  // 1e-400 is too small for a number and would become 0, which means something else.
  return value === 0 && /^[^e]*[1-9]/i.test(text) ? text : value;
}

/** Returns the words that are flags, without their values. */
function flagsOf(words: readonly string[]): string[] {
  const end = words.includes('--') ? words.indexOf('--') : words.length;
  const flags = words.slice(0, end).filter((word) => /^-[^-]|^--./.test(word));
  return flags.map((word) => word.split('=')[0] ?? '');
}

/** Returns the options of a table that were given as flags. They are not checked. */
export function optionsFrom<T extends OptionTable>(
  table: T,
  given: Arguments,
): Partial<Record<keyof T, unknown>> {
  const named = Object.keys(table).map((option) => [option, given[flagName(option)]] as const);
  const set = named.filter(([, value]) => value !== undefined);
  return Object.fromEntries(set) as Partial<Record<keyof T, unknown>>;
}

/**
 * Refuses what the command does not know: other flags, and words if it takes none. The strict mode of yargs has no
 * hint for a mistyped flag, and does not say what to do.
 *
 * @param call the words of the call, of which yargs splits `-x.png` into letters.
 * @throws ConfigError naming the first one.
 */
export function refuseUnknown(
  name: string,
  { options, words: taken }: Pick<Command, 'options' | 'words'>,
  given: Arguments,
  call: readonly string[],
): void {
  const known = [...Object.keys(options).map(flagName), ...COMMON_FLAGS];
  for (const flag of Object.keys(given)) {
    if (flag === '_' || flag === '$0' || known.includes(flag)) continue;
    const similar = nearest(flag, known);
    const advice =
      similar === undefined ? `see "${name} --help" for its flags` : `did you mean --${similar}?`;
    const dashes = flag.length === 1 ? '-' : '--';
    const typed = flagsOf(call).find((word) => /^-[^-]./.test(word)) ?? dashes + flag;
    const paths = taken === undefined ? '' : `; a path that begins with a dash goes after --`;
    throw new ConfigError(`expected a flag of "${name}", got ${typed}; ${advice}${paths}`);
  }
  const [, ...words] = given._ as (string | number)[];
  if (words.length > 0 && taken === undefined) {
    throw new ConfigError(
      `expected only flags after "${name}", got "${words.join(' ')}"; ` +
        `with npm, flags go after two dashes: npm run ${name} -- --flag value`,
    );
  }
}
