/** Output of a command: for people, for programs (`--json`), or problems only (`--quiet`). */

import { DistributedError } from '../../common/errors.js';
import { visible } from '../../common/text.js';
import type { TrainEvent } from '../../common/events.js';
import { isMainProcess, launchInfoFromEnv } from '../../distributed/launcher.js';
import { boolean } from '../../config/options.js';
import type { Arguments } from '../flags.js';
import { JsonProgress } from './json-progress.js';
import { Progress, type TextStream } from './progress.js';

/** The flags of `train` and `find-lr` that choose the output. */
export const OUTPUT_OPTIONS = {
  quiet: boolean({ help: 'print problems only' }),
  json: boolean({
    help: 'print events as lines of JSON',
    docs: 'print events as lines of JSON, for programs; the last event is `end` and carries the result',
  }),
};
export const OUTPUT_CONFLICTS = [['quiet', 'json']] as const;

/** The formats in which `evaluate` and `predict` print their results. */
export type Format = 'text' | 'json' | 'csv';
export const FORMAT_CONFLICTS = [['json', 'csv']] as const;

/** Returns the format that the flags ask for. */
export function outputFormat({ json, csv }: Arguments): Format {
  return json === true ? 'json' : csv === true ? 'csv' : 'text';
}

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
 */
export function openOutput(given: Arguments, out: TextStream, problems: TextStream): Output {
  const { quiet, json } = given;
  const nothing = (): void => undefined;
  if (!isMainProcess())
    return { listener: { handle: nothing, clear: nothing }, info: nothing, warn: nothing };
  const lineTo = (stream: TextStream) => (text: string) => {
    stream.write(`${visible(text)}\n`);
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

/** Prints a line for people to standard output. Names in it cannot break the line or steer the terminal. */
export function printLine(line: string): void {
  process.stdout.write(`${visible(line)}\n`);
}

/** Returns how to call a command: by the repository's npm script, or by the package's own name. */
export function commandLine(command: string, rest: string): string {
  const byNpm = process.env.npm_lifecycle_script?.includes('scripts/run.mjs') === true;
  return byNpm ? `npm run ${command} -- ${rest}` : `ort-finetune ${command} ${rest}`;
}

/** Joins the MPI job, if there is one, before anything can fail: the other ranks must hear of a failure. */
export async function joinRanks(): Promise<void> {
  if (launchInfoFromEnv() === null) return;
  const { openProcessGroup } = await import('../../distributed/open-process-group.js');
  await openProcessGroup();
}

/** Returns whether rank 0 prints this problem, which every rank has found. */
export function isPrintedByRank0(problem: Error): boolean {
  return problem instanceof DistributedError && problem.everywhere && !isMainProcess();
}
