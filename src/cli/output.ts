/** How a command speaks: to people, to programs (`--json`), or only of problems (`--quiet`). */

import { ConfigError, DistributedError } from '../common/errors.js';
import type { TrainEvent } from '../common/events.js';
import type { Arguments, Flag } from './flags.js';
import { launchInfoFromEnv, isMainProcess } from '../distributed/launcher.js';
import { JsonProgress } from './json-progress.js';
import { Progress, type TextStream } from './progress.js';

export const OUTPUT_FLAGS: Readonly<Record<string, Flag>> = {
  quiet: { describe: 'Print problems only', boolean: true },
  json: { describe: 'Print events as lines of JSON', boolean: true },
};

/** Shows the events of a run. */
export interface Listener {
  handle(event: TrainEvent): void;
  /** Removes a live line, so that a message of another kind can follow. */
  clear(): void;
}

export interface Output {
  readonly listener: Listener;
  /** A line for people; not printed where programs read, or nobody. */
  readonly note: (line: string) => void;
  /** The same, but of importance: never lost. */
  readonly warn: (line: string) => void;
}

/** @throws ConfigError for both flags at once. */
export function voice(given: Arguments, out: TextStream, problems: TextStream): Output {
  const { quiet, json } = given;
  if (quiet === true && json === true) {
    throw new ConfigError('expected --quiet or --json, got both; choose one');
  }
  const nothing = (): void => undefined;
  if (!isMainProcess())
    return { listener: { handle: nothing, clear: nothing }, note: nothing, warn: nothing };
  const line = (output: TextStream) => (text: string) => {
    output.write(`${text}\n`);
  };
  const silence = { note: () => undefined, warn: line(problems) };
  if (json === true) return { listener: new JsonProgress(out), ...silence };
  if (quiet === true) {
    const handle = (event: TrainEvent): void => {
      if (event.type === 'warning') silence.warn(`warning: ${event.message}`);
    };
    return { listener: { handle, clear: () => undefined }, ...silence };
  }
  // A launcher may put a terminal between, but what it passes on is a log.
  const plain: TextStream = { write: (text) => out.write(text) };
  const shown = launchInfoFromEnv() === null ? out : plain;
  return { listener: new Progress(shown), note: line(out), warn: line(out) };
}

/** Before anything can go wrong: the other ranks of an MPI job must hear of it. */
export async function joinRanks(): Promise<void> {
  if (launchInfoFromEnv() === null) return;
  const { openTeam } = await import('../distributed/process-group.js');
  await openTeam();
}

/** What every rank of an MPI job finds wrong, one says. */
export function isToldByAnother(problem: Error): boolean {
  return problem instanceof DistributedError && problem.everywhere && !isMainProcess();
}
