/** Short training runs of several ranks, which are compared, stopped and killed. */

import assert from 'node:assert/strict';
import { type Job } from '../../support/mpi-job.js';
import { outcome, trainWords, type Outcome } from '../../support/run-process.js';
import { testProgram } from '../../support/paths.js';

export const CLI = testProgram('support/mpi-cli');
/** Of each class. One a step and rank: an epoch of two ranks is as many steps. */
export const IMAGES = 400;
export const EPOCHS = 3;
/** Steps are shown at intervals, which are shorter than an epoch, and at its end. */
export const MIDDLE_OF_AN_EPOCH = /"type":"step","epoch":2,[^\n]*"phase":"train","batch":(?!400,)/;

/** Words of a run on {@link IMAGES} pictures a class. */
export function runWords(data: string, out: string, ...more: readonly string[]): string[] {
  const setting = ['--epochs', String(EPOCHS), '--lr', '0.02', '--batch-size', '1'];
  return trainWords(data, out, ...setting, '--save-every', '20', '--json', ...more);
}

/** Words that go on with the run in a folder. */
export function resumeWords(out: string): string[] {
  return ['train', '--resume', out, '--json'];
}

/** @returns its standard output. */
export async function succeeds(job: Job): Promise<string> {
  const { code, stdout, stderr } = await job.ended;
  assert.equal(code, 0, `expected the job to succeed, got exit code ${code}: ${stderr}`);
  return stdout;
}

/** @returns its standard error. */
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
  /** Makes good what else it did. */
  readonly mend?: () => void;
  /** Seconds in which the job must have ended. */
  readonly within: number;
}

export interface StruckEnd {
  readonly seconds: number;
  readonly stderr: string;
}

/** `strike` ends a job in the middle of an epoch. */
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
 * What a job left behind that was struck is whole, and goes on as if nothing were.
 *
 * @param start starts a job with words of the command line.
 * @param whole of a run that nothing has struck.
 * @returns the step from which it went on.
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
