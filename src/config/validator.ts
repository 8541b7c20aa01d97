/** Checks of option values: typed one-line errors that name an option as its caller knows it. */

import { existsSync, statSync } from 'node:fs';
import path from 'node:path';
import { ConfigError } from '../common/errors.js';
import type { Dataset } from '../data/dataset.js';
import { nearest } from './nearest.js';
import { isFolder } from '../common/node/paths.js';

/** How messages name an option: `batchSize` to a programmer, `--batch-size` to a user. */
export type Naming = 'option' | 'flag';

/** The numbers an option accepts, both ends included. */
export interface NumberRange {
  readonly integer: boolean;
  readonly min: number;
  readonly max: number;
}

/** Returns the flag of an option: `batchSize` becomes `batch-size`. */
export function flagName(option: string): string {
  return option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** Returns a range in words, for help and messages: `a whole number from 1 to 64`. */
function rangeText({ integer, min, max }: NumberRange): string {
  return `a ${integer ? 'whole number' : 'number'} from ${min} to ${max}`;
}

/** Returns a value as messages show it. A flag without a value is parsed as `true`. */
function shown(value: unknown): string {
  if (value === true || value === '' || value === undefined) return 'nothing';
  return typeof value === 'number' ? String(value) : JSON.stringify(value);
}

/**
 * Checks option values. Every method returns the value it was given, now of the right type, or throws a
 * ConfigError of the form "expected OPTION to be X, got Y; what to do".
 */
export class Validator {
  /** @param naming how messages name an option. */
  constructor(private readonly naming: Naming) {}

  /** Returns the option's name in a message. */
  name(option: string): string {
    return this.naming === 'flag' ? `--${flagName(option)}` : option;
  }

  /** Returns the error that every failed check throws. */
  error(option: string, expected: string, value: unknown, advice: string): ConfigError {
    return new ConfigError(
      `expected ${this.name(option)} to be ${expected}, got ${shown(value)}; ${advice}`,
    );
  }

  /**
   * Refuses options that a function does not have. An option whose value is undefined is left out.
   *
   * @param caller the function, for the message.
   * @param known names of its options.
   */
  known(caller: string, options: object, known: readonly string[]): void {
    for (const [name, value] of Object.entries(options)) {
      if (value === undefined || known.includes(name)) continue;
      const similar = nearest(name, known);
      const advice =
        similar === undefined
          ? `its options are ${known.join(', ')}`
          : `did you mean ${this.name(similar)}?`;
      throw new ConfigError(`expected an option of ${caller}, got ${this.name(name)}; ${advice}`);
    }
  }

  /** Checks that a value is a data set, or undefined. */
  dataset(option: string, value: unknown): Dataset | undefined {
    if (value === undefined) return undefined;
    const { length, classes, get } = Object(value) as Partial<Record<keyof Dataset, unknown>>;
    const good = typeof length === 'number' && Array.isArray(classes) && typeof get === 'function';
    if (good) return value as Dataset;
    const expected = 'a data set with length, classes and get(index)';
    throw this.error(option, expected, value, 'see docs/library.md');
  }

  /** Checks that a value is a function. */
  callback(option: string, value: unknown): void {
    if (typeof value === 'function') return;
    throw this.error(option, 'a function', value, 'leave it out, or give one');
  }

  /** Checks a number against its range; the message names `range.default` if there is one. */
  number(
    option: string,
    value: unknown,
    range: NumberRange & { readonly default?: number },
  ): number {
    const good =
      typeof value === 'number' &&
      (range.integer ? Number.isInteger(value) : Number.isFinite(value)) &&
      value >= range.min &&
      value <= range.max;
    if (good) return value;
    const advice =
      range.default === undefined
        ? 'leave it out for the default'
        : `the default is ${range.default}`;
    throw this.error(option, rangeText(range), value, advice);
  }

  /**
   * Checks that a value is one of `choices`.
   *
   * @param advise returns advice for another text.
   */
  choice<T extends string>(
    option: string,
    value: unknown,
    choices: readonly T[],
    advise: (text: string) => string = () => 'choose one of these',
  ): T {
    const found = choices.find((choice) => choice === value);
    if (found !== undefined) return found;
    const expected = `one of ${choices.join(', ')}`;
    throw this.error(option, expected, value, advise(String(value)));
  }

  /** Checks that a value is true or false. */
  boolean(option: string, value: unknown): boolean {
    if (typeof value === 'boolean') return value;
    throw this.error(option, 'true or false', value, 'choose one of these');
  }

  /** Checks that a value is a string with at least one character. */
  text(option: string, expected: string, value: unknown): string {
    if (typeof value === 'string' && value !== '') return value;
    throw this.error(option, expected, value, `give it after ${this.name(option)}`);
  }

  /** Checks that a value is the path of a folder that exists. */
  folder(option: string, expected: string, value: unknown): string {
    const dir = this.text(option, expected, value);
    if (isFolder(dir)) return dir;
    const state = existsSync(dir) ? 'is no folder' : 'does not exist';
    const advice = `it ${state} (looked at ${path.resolve(dir)}); check the path`;
    throw this.error(option, expected, dir, advice);
  }

  /** Checks that a value is one of `words`, or the path of a file that exists. */
  wordOrFile(option: string, expected: string, value: unknown, words: readonly string[]): string {
    const text = this.text(option, expected, value);
    if (words.includes(text)) return text;
    if (statSync(text, { throwIfNoEntry: false })?.isFile() === true) return text;
    const best = path.join(text, 'checkpoints', 'best.safetensors');
    if (option === 'weights' && existsSync(best)) {
      throw this.error(option, expected, text, `that is a run folder; use ${best}`);
    }
    const state = existsSync(text) ? 'that is no file' : 'there is no file of that name';
    const advice = `${state} (looked at ${path.resolve(text)}); check the path`;
    throw this.error(option, expected, text, advice);
  }
}
