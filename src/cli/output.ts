/** Output of a command: for people, for programs (`--json`), or problems only (`--quiet`). */

import { ConfigError, DistributedError } from '../common/errors.js';
import type { TrainEvent } from '../common/events.js';
import { isMainProcess, launchInfoFromEnv } from '../distributed/launcher.js';
import type { Arguments, Flag } from './flags.js';
import { JsonProgress } from './json-progress.js';
import { Progress, type TextStream } from './progress.js';

export const OUTPUT_FLAGS: Readonly<Record<string, Flag>> = {
  quiet: { describe: 'Print problems only', boolean: true },
  json: { describe: 'Print events as lines of JSON', boolean: true },
};

/** Shows the events of a run. */
export interface Listener {
  handle(event: TrainEvent): void;
  /** Removes a live line, so that another message can follow. */
  clear(): void;
}

export interface Output {
  readonly listener: Listener;
  /** Prints a line for people; prints nothing with `--json` or `--quiet`. */
  readonly info: (line: string) => void;
  /** Prints an important line, with every flag. */
  readonly warn: (line: string) => void;
}

/**
 * Opens the output that the flags ask for. Only rank 0 of an MPI job prints.
 *
 * @param out stream for results and progress.
 * @param problems stream for warnings where `out` does not take them.
 * @throws ConfigError for `--quiet` together with `--json`.
 */
export function openOutput(given: Arguments, out: TextStream, problems: TextStream): Output {
  const { quiet, json } = given;
  if (quiet === true && json === true) {
    throw new ConfigError('expected --quiet or --json, got both; choose one');
  }
  const nothing = (): void => undefined;
  if (!isMainProcess())
    return { listener: { handle: nothing, clear: nothing }, info: nothing, warn: nothing };
  const lineTo = (stream: TextStream) => (text: string) => {
    stream.write(`${text}\n`);
  };
  const silent = { info: nothing, warn: lineTo(problems) };
  if (json === true) return { listener: new JsonProgress(out), ...silent };
  if (quiet === true) {
    const handle = (event: TrainEvent): void => {
      if (event.type === 'warning') silent.warn(`warning: ${event.message}`);
    };
    return { listener: { handle, clear: nothing }, ...silent };
  }
  // mpirun may give a rank a pseudo-terminal; print plain log lines all the same.
  const plain: TextStream = { write: (text) => out.write(text) };
  const shown = launchInfoFromEnv() === null ? out : plain;
  return { listener: new Progress(shown), info: lineTo(out), warn: lineTo(out) };
}

/** Prints a line to standard output. */
export function printLine(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Returns how to call a command: by the repository's npm script, or by the package's own name. */
export function commandLine(command: string, rest: string): string {
  const byNpm = process.env.npm_lifecycle_script?.includes('scripts/run.mjs') === true;
  return byNpm ? `npm run ${command} -- ${rest}` : `ort-finetune ${command} ${rest}`;
}

/** Returns a word as it can be typed on a command line. */
export function quote(word: string): string {
  return /^[\w./\\:-]+$/.test(word) ? word : JSON.stringify(word);
}

/** Joins the MPI job, if there is one, before anything can fail: the other ranks must hear of a failure. */
export async function joinRanks(): Promise<void> {
  if (launchInfoFromEnv() === null) return;
  const { openProcessGroup } = await import('../distributed/process-group.js');
  await openProcessGroup();
}

/** Returns whether rank 0 prints this problem, which every rank has found. */
export function isPrintedByRank0(problem: Error): boolean {
  return problem instanceof DistributedError && problem.everywhere && !isMainProcess();
}
