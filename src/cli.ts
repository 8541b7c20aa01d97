#!/usr/bin/env node
/**
 * Entry of the command line: parses, calls a command of cli/, prints its error and sets the exit code: 0 for
 * success, 1 for a failure at run time, 2 for a wrong call. Only this file and cli/ print.
 */

import yargs from 'yargs';
import { demoCommand } from './cli/demo.js';
import { DOCTOR_FLAGS, doctorCommand } from './cli/doctor.js';
import { EVALUATE_FLAGS, evaluateCommand } from './cli/evaluate.js';
import { EXPORT_FLAGS, exportCommand } from './cli/export-inference.js';
import { FIND_LR_FLAGS, findLrCommand } from './cli/find-lr.js';
import {
  type Arguments,
  CONFIG_FLAGS,
  DEMO_FLAGS,
  type Flag,
  TRAIN_FLAGS,
  refuseUnknown,
} from './cli/flags.js';
import { Stopped } from './cli/interrupt.js';
import { OUTPUT_FLAGS, isPrintedByRank0 } from './cli/output.js';
import { PREDICT_FLAGS, predictCommand } from './cli/predict.js';
import { SETUP_CUDA_FLAGS, setupCudaCommand } from './cli/setup-cuda.js';
import { trainCommand } from './cli/train.js';
import { nearest } from './common/nearest.js';
import { BadImagesError, ConfigError, UserError } from './common/errors.js';
import { packageInfo } from './common/package-info.js';
import { rankPrefix } from './distributed/launcher.js';

interface Command {
  readonly describe: string;
  readonly flags: Readonly<Record<string, Flag>>;
  /** What else it takes, for the usage line. */
  readonly words?: string;
  /** Returns the exit code; nothing means 0. */
  readonly run: (given: Arguments) => Promise<number> | Promise<void>;
}

const COMMANDS: Readonly<Record<string, Command>> = {
  train: {
    describe: 'Fine-tune on the images of a folder',
    flags: { ...TRAIN_FLAGS, ...CONFIG_FLAGS, ...OUTPUT_FLAGS },
    run: trainCommand,
  },
  'find-lr': {
    describe: 'Find a learning rate: a short test at rates from small to large, with its plot',
    flags: FIND_LR_FLAGS,
    run: findLrCommand,
  },
  'export-inference': {
    describe: 'Write a trained network as one ONNX file',
    flags: EXPORT_FLAGS,
    run: exportCommand,
  },
  evaluate: {
    describe: 'Judge a trained network on labelled images',
    flags: EVALUATE_FLAGS,
    run: evaluateCommand,
  },
  predict: {
    describe: 'Classify pictures: files, folders, patterns, - for standard input',
    flags: PREDICT_FLAGS,
    words: 'PATH...',
    run: predictCommand,
  },
  doctor: {
    describe: 'Show what each device needs and has on this machine',
    flags: DOCTOR_FLAGS,
    run: doctorCommand,
  },
  'setup-cuda': {
    describe: 'Put the CUDA provider beside onnxruntime-node (Linux on x86-64)',
    flags: SETUP_CUDA_FLAGS,
    run: setupCudaCommand,
  },
  demo: {
    describe: 'Train on the bundled samples from random weights, then export (minutes, offline)',
    flags: DEMO_FLAGS,
    run: demoCommand,
  },
};

function parser(words: readonly string[]): ReturnType<typeof yargs> {
  let program = yargs([...words])
    .scriptName('ort-finetune')
    .usage('$0 <command> [flags]\n\nFine-tunes image classifiers on stock ONNX Runtime.')
    .locale('en')
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
    .epilog('In the repository: npm run <command> -- [flags]')
    .wrap(100)
    .exitProcess(false)
    .fail(false);
  for (const [name, { describe, flags, words: taken }] of Object.entries(COMMANDS)) {
    program = program.command(name, describe, (command) => {
      for (const [flag, { describe: text, shownDefault, boolean }] of Object.entries(flags)) {
        command.option(flag, {
          group: 'Flags:',
          describe: text,
          ...(boolean === undefined ? {} : { type: 'boolean' as const }),
          ...(shownDefault === undefined ? {} : { defaultDescription: shownDefault }),
        });
      }
      if (taken !== undefined) command.usage(`$0 ${name} [flags] ${taken}\n\n${describe}`);
      return command.group(['verbose', 'help', 'version'], 'General:');
    });
  }
  return program;
}

async function main(words: readonly string[]): Promise<void> {
  const asked = words[0] === 'help' ? [...words.slice(1), '--help'] : words;
  const given: Arguments = await parser(asked).parseAsync();
  if (given.help === true || given.version === true) return;
  const [name] = given._ as string[];
  const expected = `expected a command: ${Object.keys(COMMANDS).join(', ')}`;
  if (name === undefined) throw new ConfigError(`${expected}; got none; see --help`);
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) {
    const similar = nearest(name, Object.keys(COMMANDS));
    const advice = similar === undefined ? 'see --help' : `did you mean ${similar}?`;
    throw new ConfigError(`${expected}; got ${JSON.stringify(name)}; ${advice}`);
  }
  refuseUnknown(name, given, command.flags, command.words !== undefined);
  const code = await command.run(given);
  if (typeof code === 'number') process.exitCode = code;
}

/** Prints an error as one line, after one for each broken image if there are more (with `--verbose`, its stack too) and returns the exit code. */
function report(error: unknown, verbose: boolean): number {
  const problem = error instanceof Error ? error : new Error(String(error));
  const known = problem instanceof UserError;
  if (problem instanceof BadImagesError && problem.images.length > 1) {
    for (const { path: file, reason } of problem.images) {
      process.stderr.write(`${file}: ${reason}\n`);
    }
  }
  const hint = known || verbose ? '' : ' (unexpected; --verbose shows where)';
  const line = problem.message.replaceAll(/\s*\n\s*/g, ' ');
  if (!isPrintedByRank0(problem)) process.stderr.write(`error: ${rankPrefix()}${line}${hint}\n`);
  if (verbose) process.stderr.write(`${problem.stack ?? ''}\n`);
  return known ? problem.exitCode : 1;
}

/** Something that was to be printed was not, though somebody still reads. */
let outputLost = false;

// A reader that goes away early (`| head`), or a log on a full disk, is no reason to end a training run.
process.stdout.on('error', ({ code, message }: NodeJS.ErrnoException) => {
  if (code === 'EPIPE') return;
  if (!outputLost) process.stderr.write(`warning: standard output is lost: ${message}\n`);
  outputLost = true;
});
process.stderr.on('error', () => {
  // Nobody is left to be told.
});

const words = process.argv.slice(2);
try {
  await main(words);
} catch (error) {
  // Not process.exit: a worker thread may still be inside the runtime, and would abort the process.
  process.exitCode =
    error instanceof Stopped ? error.exitCode : report(error, words.includes('--verbose'));
}
process.on('exit', (code) => {
  if (outputLost && code === 0) process.exitCode = 1;
});
