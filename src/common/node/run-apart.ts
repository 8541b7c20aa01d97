/**
 * Runs a program of this package in a process of its own. Drivers and loaders print to standard error what is not meant
 * for people, and a broken one must not end the command.
 */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { messageOf } from '../format.js';

export interface Answered {
  /** Value that the program handed to {@link answer}. */
  readonly value: unknown;
  /** Text that it and its libraries printed to standard error. */
  readonly stderr: string;
}

/**
 * Runs `script` and waits for its answer.
 *
 * @param timeout milliseconds after which the process is killed, because drivers may hang.
 * @throws Error if it does not come to its end; the message holds its last words.
 */
export async function runApart(
  script: URL,
  words: readonly string[],
  timeout: number,
): Promise<Answered> {
  const options = { timeout, env: { ...process.env, NODE_OPTIONS: '' } };
  const file = fileURLToPath(script);
  const output = await promisify(execFile)(process.execPath, [file, ...words], options).catch(
    (cause: unknown) => {
      throw new Error(brokenText(cause), { cause });
    },
  );
  // Libraries may have printed to standard output, too; the answer is its last line.
  const value: unknown = JSON.parse(output.stdout.slice(output.stdout.lastIndexOf('\n') + 1));
  return { value, stderr: output.stderr };
}

/** Answers the process that called {@link runApart}. */
export function answer(value: unknown): void {
  process.stdout.write(`\n${JSON.stringify(value)}`);
}

/** Returns the message for a process that did not come to its end. */
function brokenText(cause: unknown): string {
  const { stderr = '', signal } = Object(cause) as { stderr?: string; signal?: string | null };
  const ended = signal == null ? 'it ended early' : `it ended with ${signal}`;
  return `${ended}: ${stderr.trim().split('\n').slice(-3).join('; ') || messageOf(cause)}`;
}
