/** The parser of the command line, made from the commands' tables. */

import yargs, { type Argv } from 'yargs';
import { ConfigError } from '../common/errors.js';
import { nearest } from '../config/nearest.js';
import { packageInfo } from '../common/node/package-info.js';
import { defaultText, helpText } from '../config/options.js';
import { flagName } from '../config/validator.js';
import { COMMANDS } from './commands.js';
import { joinNegative, parseValue, refuseUnknown, type Arguments, type Command } from './flags.js';

/**
 * Parses the words of a call. Prints the help or the version if they ask for it.
 *
 * @returns the command and its flags; null if help or version were printed.
 * @throws ConfigError for an unknown command or flag.
 */
export async function parseCall(
  words: readonly string[],
): Promise<{ command: Command; given: Arguments } | null> {
  const asked = words[0] === 'help' ? [...words.slice(1), '--help'] : words;
  const given: Arguments = await parser(asked).parseAsync();
  if (given.help === true || given.version === true) return null;
  const name = (given._ as string[])[0] ?? '';
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) {
    const similar = nearest(name, Object.keys(COMMANDS));
    const advice = similar === undefined ? 'see --help' : `did you mean ${similar}?`;
    throw new ConfigError(`${expectedCommand()}; got ${JSON.stringify(name)}; ${advice}`);
  }
  refuseUnknown(name, command, given, joinNegative(words, COMMANDS));
  return { command, given };
}

function expectedCommand(): string {
  return `expected a command: ${Object.keys(COMMANDS).join(', ')}`;
}

function parser(words: readonly string[]): Argv {
  let program = yargs(joinNegative(words, COMMANDS))
    .scriptName('ort-finetune')
    .usage('$0 <command> [flags]\n\nFine-tunes image classifiers on stock ONNX Runtime.')
    .locale('en')
    .updateStrings({
      'Arguments %s and %s are mutually exclusive': 'expected --%s or --%s, got both; choose one',
    })
    .parserConfiguration({
      'boolean-negation': false,
      'camel-case-expansion': false,
      'dot-notation': false,
      'duplicate-arguments-array': false,
      'parse-numbers': false,
      'parse-positional-numbers': false,
    })
    .option('verbose', { type: 'boolean', describe: 'Show the stack trace of an error' })
    .help('help', 'Show this help')
    .alias('help', 'h')
    .version('version', 'Show the version', packageInfo().version)
    .demandCommand(1, `${expectedCommand()}; got none; see --help`)
    .epilog('In the repository: npm run <command> -- [flags]')
    .wrap(100)
    .exitProcess(false)
    // yargs passes no error for a failed check of its own, though its types promise one.
    .fail((message: string, error: Error | undefined) => {
      throw error ?? new ConfigError(message);
    });
  for (const [name, command] of Object.entries(COMMANDS)) {
    program = program.command(name, command.describe, (parsed) => addFlags(parsed, name, command));
  }
  return program;
}

/** Adds the flags of a command to its parser. */
function addFlags<T>(
  program: Argv<T>,
  name: string,
  { describe, options, conflicts = [], words }: Command,
): Argv<T> {
  for (const [option, entry] of Object.entries(options)) {
    const shownDefault = defaultText(entry);
    program.option(flagName(option), {
      group: 'Flags:',
      describe: helpText(entry),
      ...(entry.kind === 'boolean'
        ? // `--quiet=false` leaves the flag out, so that it conflicts with nothing.
          { type: 'boolean' as const, coerce: (on: unknown) => (on === true ? true : undefined) }
        : { coerce: (text: unknown) => parseValue(entry, text) }),
      ...(shownDefault === undefined ? {} : { defaultDescription: shownDefault }),
    });
  }
  for (const [one, other] of conflicts) program.conflicts(one, other);
  if (words !== undefined) program.usage(`$0 ${name} [flags] ${words}\n\n${describe}`);
  return program.group(['verbose', 'help', 'version'], 'General:');
}
