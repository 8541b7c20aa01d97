#!/usr/bin/env node
/**
 * Entry of the command line: parses, calls a command of cli/, prints its error and sets the exit code: 0 for
 * success, 1 for a failure at run time, 2 for a wrong call. Only this file and cli/ print.
 */

import { hangupIgnored, outliveTerminal } from './cli/hangup.js';
import { Stopped } from './cli/interrupt.js';
import { isPrintedByRank0 } from './cli/output/output.js';
import { parseCall } from './cli/parser.js';
import { BadImagesError, UserError } from './common/errors.js';
import { visible } from './common/text.js';
import { rankPrefix } from './distributed/launcher.js';

async function main(words: readonly string[]): Promise<void> {
  const call = await parseCall(words);
  const code = await call?.command.run(call.given);
  if (typeof code === 'number') process.exitCode = code;
}

/**
 * Prints an error as one line; if several images are broken, one line for each comes first. `--verbose` adds the stack.
 *
 * @returns the exit code.
 */
function report(error: unknown, verbose: boolean): number {
  const problem = error instanceof Error ? error : new Error(String(error));
  const known = problem instanceof UserError;
  if (problem instanceof BadImagesError && problem.images.length > 1) {
    for (const { path: file, reason } of problem.images) {
      process.stderr.write(`${visible(file)}: ${visible(reason)}\n`);
    }
  }
  const hint = known || verbose ? '' : ' (unexpected; --verbose shows where)';
  const line = visible(problem.message.replaceAll(/\s*\n\s*/g, ' '));
  if (!isPrintedByRank0(problem)) process.stderr.write(`error: ${rankPrefix()}${line}${hint}\n`);
  if (verbose) process.stderr.write(`${visible(problem.stack ?? '', '\n')}\n`);
  return known ? problem.exitCode : 1;
}

/** Set if standard output failed although its reader has not gone away. */
let outputLost = false;

// A reader that goes away early (`| head`) or a log on a full disk must not end a training run.
process.stdout.on('error', ({ code, message }: NodeJS.ErrnoException) => {
  if (code === 'EPIPE') return;
  if (!outputLost) process.stderr.write(`warning: standard output is lost: ${message}\n`);
  outputLost = true;
});
process.stderr.on('error', () => {
  // There is no other stream to report this on.
});

outliveTerminal();
if (hangupIgnored()) {
  process.on('SIGHUP', () => {
    // Node.js has undone what nohup asked for.
  });
}

const words = process.argv.slice(2);
try {
  await main(words);
} catch (error) {
  // Not process.exit: a worker thread may still be inside ONNX Runtime, and would abort the process.
  process.exitCode =
    error instanceof Stopped ? error.exitCode : report(error, words.includes('--verbose'));
}
process.on('exit', (code) => {
  if (outputLost && code === 0) process.exitCode = 1;
});
