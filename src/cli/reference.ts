/** The parts of docs/cli.md that are derived from the commands' tables. */

import { SHARED_WITH_TRAIN } from '../config/find-lr-options.js';
import { markdownTable } from '../config/options.js';
import { flagName } from '../config/validator.js';
import { COMMANDS } from './commands.js';
import { OWN_OPTIONS } from './find-lr.js';

/** Returns a document with each part between the comments `flags of COMMAND` and `end` written anew. */
export function withFlagTables(document: string): string {
  return document.replaceAll(
    /(<!-- Written by npm run docs:cli: flags of ([\w-]+) -->\n)[^]*?(<!-- end -->)/g,
    (_, begin: string, name: string, end: string) => `${begin}\n${content(name)}\n\n${end}`,
  );
}

function content(name: string): string {
  const command = COMMANDS[name];
  if (command === undefined) throw new Error(`expected a command, got "${name}"; mend docs/cli.md`);
  if (name !== 'find-lr') return markdownTable(command.options);
  const shared = Object.keys(SHARED_WITH_TRAIN).map((option) => `\`--${flagName(option)}\``);
  const list = `${shared.slice(0, -1).join(', ')} and ${shared.at(-1) ?? ''}`;
  const sentence = `The command also takes these flags of \`train\`: ${list}.`;
  return `${markdownTable(OWN_OPTIONS)}\n\n${wrapped(sentence)}`;
}

/** Breaks a text into lines of at most 120 characters. */
function wrapped(text: string): string {
  return text.replaceAll(/(.{1,120})(?: |$)/g, '$1\n').trimEnd();
}
