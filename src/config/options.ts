/**
 * Tables of options. An entry says of one option what every user of it needs: kind, default, bounds and help. Types,
 * defaults, checks, flags, `--help` and the tables of docs/cli.md are derived from it.
 */

import path from 'node:path';
import { flagName, type Validator } from './validator.js';

/** Properties of every option. */
export interface Described {
  /** One line for `--help`; it begins with a small letter. */
  readonly help: string;
  /** Text for docs/cli.md, in Markdown, where it says more than `help`. */
  readonly docs?: string;
  /** Placeholder of the value in docs/cli.md; by default one that suits the kind. */
  readonly value?: string;
  /** Words that describe the default, for an option whose default is not a constant. */
  readonly shownDefault?: string;
  /** Set if the option must be given. */
  readonly required?: true;
}

/** A number in a range, both ends included. */
export interface NumberOption extends Described {
  readonly kind: 'integer' | 'number';
  readonly default?: number;
  readonly min: number;
  readonly max: number;
}

/** One of a few words. */
export interface ChoiceOption extends Described {
  readonly kind: 'choice';
  readonly choices: readonly string[];
  readonly default?: string;
  /** Returns advice for a value that is not a choice, in place of the usual one. */
  readonly advice?: (value: string) => string;
  /** An explanation that `--help` shows after the choices. */
  readonly note?: string;
}

/** On or off. */
export interface BooleanOption extends Described {
  readonly kind: 'boolean';
  readonly default: false;
}

/** Any text, such as the name of a file to write, or the path of a folder that exists. */
export interface TextOption extends Described {
  readonly kind: 'text' | 'folder';
  /** Expectation, as messages name it. */
  readonly expected: string;
  readonly default?: string;
}

/** One of `words`, or the path of a file that exists. */
export interface FileOption extends Described {
  readonly kind: 'file';
  readonly words: readonly string[];
  readonly expected: string;
  readonly default: string;
  /** Set if a path is made absolute when it is checked. */
  readonly absolute?: true;
}

export type Option = NumberOption | ChoiceOption | BooleanOption | TextOption | FileOption;
export type OptionTable = Readonly<Record<string, Option>>;

/** Makes an entry for a whole number. */
export function integer<const Rest extends Described>(
  value: number,
  [min, max]: readonly [number, number],
  rest: Rest,
): NumberOption & { readonly default: number } & Rest {
  return { kind: 'integer', default: value, min, max, ...rest };
}

/** Makes an entry for a number. */
export function number<const Rest extends Described>(
  value: number,
  [min, max]: readonly [number, number],
  rest: Rest,
): NumberOption & { readonly default: number } & Rest {
  return { kind: 'number', default: value, min, max, ...rest };
}

/** Makes an entry for one of a few words. */
export function choice<
  const Words extends readonly string[],
  const Rest extends Described & { readonly note?: string },
>(
  choices: Words,
  value: Words[number],
  rest: Rest,
): { readonly kind: 'choice'; readonly choices: Words; readonly default: Words[number] } & Rest {
  return { kind: 'choice', choices, default: value, ...rest };
}

/** Makes an entry for a switch that is off by default. */
export function boolean<const Rest extends Described>(rest: Rest): BooleanOption & Rest {
  return { kind: 'boolean', default: false, ...rest };
}

/** Makes an entry for one of a few words, or the path of a file. */
export function wordOrFile<
  const Rest extends Described & { readonly expected: string; readonly absolute?: true },
>(words: readonly string[], value: string, rest: Rest): FileOption & Rest {
  return { kind: 'file', words, default: value, ...rest };
}

/** The type of an option's value. */
export type ValueOf<O> = O extends { readonly kind: 'integer' | 'number' }
  ? number
  : O extends { readonly kind: 'boolean' }
    ? boolean
    : O extends { readonly kind: 'choice'; readonly choices: readonly (infer Word)[] }
      ? Word
      : string;

/** The values of all options of a table. */
export type Values<T extends OptionTable> = { readonly [Name in keyof T]: ValueOf<T[Name]> };

/** Names of the options that always have a value: they have a default or are required. */
type Certain<T extends OptionTable> = {
  [Name in keyof T]: T[Name] extends { readonly default: unknown } | { readonly required: true }
    ? Name
    : never;
}[keyof T];

/** The values of a table after {@link resolveOptions}: what has a default or is required has a value. */
export type Resolved<T extends OptionTable> = Pick<Values<T>, Certain<T>> &
  Partial<Omit<Values<T>, Certain<T>>>;

/** Options as a caller gives them: perhaps of the wrong type. */
export type Given<T extends OptionTable> = Readonly<Partial<Record<keyof T, unknown>>>;

/** Returns the default of each option. */
export function defaultsOf<T extends OptionTable>(table: T): Values<T> {
  return Object.fromEntries(
    Object.entries(table).map(([name, option]) => [name, option.default]),
  ) as Values<T>;
}

/**
 * Returns the value of one option, checked.
 *
 * @throws ConfigError if the value is not acceptable.
 */
export function checkOption(
  name: string,
  option: Option,
  value: unknown,
  validator: Validator,
): number | boolean | string {
  switch (option.kind) {
    case 'integer':
    case 'number':
      return validator.number(name, value, { ...option, integer: option.kind === 'integer' });
    case 'choice':
      return validator.choice(name, value, option.choices, option.advice);
    case 'boolean':
      return validator.boolean(name, value);
    case 'text':
      return validator.text(name, option.expected, value);
    case 'folder':
      return validator.folder(name, option.expected, value);
    case 'file': {
      const found = validator.wordOrFile(name, option.expected, value, option.words);
      return option.absolute === true && !option.words.includes(found)
        ? path.resolve(found)
        : found;
    }
  }
}

/**
 * Fills in the defaults and checks every value, in the order of the table. Options that are undefined and have no
 * default are left out.
 *
 * @throws ConfigError naming the first value that is not acceptable, or a required option that is missing.
 */
export function resolveOptions<T extends OptionTable>(
  table: T,
  given: Given<T>,
  validator: Validator,
): Resolved<T> {
  const resolved: Record<string, unknown> = {};
  for (const [name, option] of Object.entries(table)) {
    const value = given[name] === undefined ? option.default : given[name];
    if (value === undefined && option.required !== true) continue;
    resolved[name] = checkOption(name, option, value, validator);
  }
  return resolved as Resolved<T>;
}

/** Returns what `--help` says of an option. */
export function helpText(option: Option): string {
  const text = option.help.charAt(0).toUpperCase() + option.help.slice(1);
  if (option.kind === 'integer' || option.kind === 'number') {
    return `${text} (${option.min} to ${option.max})`;
  }
  if (option.required === true) return `${text} (required)`;
  if (option.kind !== 'choice') return text;
  const note = option.note === undefined ? '' : ` (${option.note})`;
  return `${text}: ${option.choices.join(', ')}${note}`;
}

/** Returns the default as help and documents show it; undefined if there is nothing to show. */
export function defaultText(option: Option): string | undefined {
  if (option.shownDefault !== undefined) return option.shownDefault;
  if (option.kind === 'boolean' || option.default === undefined) return undefined;
  return String(option.default);
}

const PLACEHOLDERS = {
  ...{ integer: 'N', number: 'X', folder: 'DIR', file: 'FILE', text: 'FILE', choice: 'C' },
} as const;

/** Returns a table of flags in Markdown, as docs/cli.md has one for each command. */
export function markdownTable(table: OptionTable): string {
  const rows = Object.entries(table).map(([name, option]) => {
    const value = option.kind === 'boolean' ? '' : ` ${option.value ?? PLACEHOLDERS[option.kind]}`;
    const otherwise = option.kind === 'boolean' ? 'off' : '(required)';
    const shownDefault = defaultText(option) ?? otherwise;
    return `| \`--${flagName(name)}${value}\` | ${shownDefault} | ${option.docs ?? option.help} |`;
  });
  return ['| flag | default | meaning |', '| --- | --- | --- |', ...rows].join('\n');
}
