/** Compares, stops and kills short training runs of several ranks. */

import assert from 'node:assert/strict';
import { type Job } from '../../support/mpi-job.js';
import { outcome, trainWords, type Outcome } from '../../support/run-process.js';
import { testProgram } from '../../support/paths.js';

export const CLI = testProgram('support/mpi-cli');
/** Images per class. The batch size is 1, so an epoch of two ranks has as many steps. */
export const IMAGES = 400;
export const EPOCHS = 3;
/** Matches a step before the end of epoch 2. Steps are reported at intervals shorter than an epoch, and at its end. */
export const MIDDLE_OF_AN_EPOCH = /"type":"step","epoch":2,[^\n]*"phase":"train","batch":(?!400,)/;

/** Returns the words of a run on {@link IMAGES} images per class. */
export function runWords(data: string, out: string, ...more: readonly string[]): string[] {
  const setting = ['--epochs', String(EPOCHS), '--lr', '0.02', '--batch-size', '1'];
  return trainWords(data, out, ...setting, '--save-every', '20', '--json', ...more);
}

/** Returns the words that resume the run in a folder. */
export function resumeWords(out: string): string[] {
  return ['train', '--resume', out, '--json'];
}

/** Waits until a job has succeeded. @returns its standard output. */
export async function succeeds(job: Job): Promise<string> {
  const { code, stdout, stderr } = await job.ended;
  assert.equal(code, 0, `expected the job to succeed, got exit code ${code}: ${stderr}`);
  return stdout;
}

/** Waits until a job has failed. @returns its standard error. */
export async function fails(job: Job): Promise<string> {
  const { code, stderr } = await job.ended;
  assert.notEqual(code, 0, 'expected the job to fail, got exit code 0');
  return stderr;
}

export function assertSame(found: Outcome, expected: Outcome): void {
  assert.deepEqual(found.metrics, expected.metrics);
  assert.deepEqual(found.last.state, expected.last.state);
  assert.deepEqual(found.best.state, expected.best.state);
}

export interface Strike {
  /** Ends the job. */
  readonly strike: (job: Job) => Promise<void> | void;
  /** Undoes other effects of `strike`. */
  readonly mend?: () => void;
  /** Seconds after which the job must have ended. */
  readonly within: number;
}

export interface StruckEnd {
  readonly seconds: number;
  readonly stderr: string;
}

/** Ends a job in the middle of an epoch by `strike`. */
export async function struck(job: Job, { strike, mend, within }: Strike): Promise<StruckEnd> {
  await job.printed(MIDDLE_OF_AN_EPOCH);
  const began = performance.now();
  await strike(job);
  let stderr: string;
  try {
    stderr = await fails(job);
  } finally {
    mend?.();
  }
  const seconds = (performance.now() - began) / 1000;
  assert.ok(seconds <= within, `expected the end within ${within} s, got ${seconds.toFixed(1)} s`);
  return { seconds, stderr };
}

/**
 * Checks that the run of an interrupted job is intact, and that its resumption ends as the uninterrupted run did.
 *
 * @param start starts a job with words of the command line.
 * @param whole outcome of a run that was not interrupted.
 * @returns the step from which the run was resumed.
 */
export async function goesOn(
  start: (words: readonly string[]) => Job,
  out: string,
  whole: Outcome,
): Promise<number> {
  const { run } = (await outcome(out)).last;
  assert.ok(run.epoch === 1, `expected a checkpoint of epoch 2, got epoch ${run.epoch}`);
  await succeeds(start(resumeWords(out)));
  assertSame(await outcome(out), whole);
  return run.step;
}
