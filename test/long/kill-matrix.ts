/** Kills runs again and again; each must end with the same bits as a run that was not killed. */

import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { readCheckpoint } from '../../src/platform/node/defaults.js';
import { Philox } from '../../src/common/philox.js';
import type { Fault } from '../support/faults.js';
import {
  Process,
  makeData,
  outcome,
  trainWords,
  type End,
  type Outcome,
} from '../support/run-process.js';

export const FAULTS = new URL('../support/faults.js', import.meta.url).href;

/** Three epochs of 7 steps. The last batch is smaller, and the learning rate drops after the second epoch. */
const SETTINGS = [
  ...['--epochs', '3', '--step-size', '2', '--lr', '0.02', '--batch-size', '4'],
  ...['--save-every', '2', '--keep', '3'],
];
const KILLS_PER_RUN = 5;

const POINTS: readonly Pick<Fault, 'at' | 'file'>[] = (
  [
    ['open', 'last.safetensors'],
    ['write', 'last.safetensors'],
    ['sync', 'last.safetensors'],
    ['rename', 'last.safetensors'],
    ['renamed', 'last.safetensors'],
    ['folder', 'checkpoints'],
    ['link', 'step-'],
    ['rename', 'step-'],
    ['renamed', 'step-'],
    ['rm', '/step-'],
    ['removed', '/step-'],
    ['write', 'best.safetensors'],
    ['rename', 'best.safetensors'],
    ['renamed', 'best.safetensors'],
    ['write', 'metrics.jsonl'],
    ['renamed', 'metrics.jsonl'],
    ['rename', 'config.json'],
  ] as const
).map(([at, file]) => ({ at, file }));

export interface Tally {
  /** Kills of a running process, at a random moment and at a chosen point. */
  random: number;
  chosen: number;
  /** Runs that ended with the bits of the reference. */
  runs: number;
  /** Kills before the first checkpoint, after which the run was started anew. */
  anew: number;
  /** Checkpoints that were read back after kills. */
  checkpoints: number;
}

export class KillMatrix {
  readonly tally: Tally = { random: 0, chosen: 0, runs: 0, anew: 0, checkpoints: 0 };

  private constructor(
    readonly cwd: string,
    private readonly reference: Outcome,
    /** Duration in ms of a run that is not killed. */
    private readonly duration: number,
  ) {}

  static async create(): Promise<KillMatrix> {
    const cwd = await mkdtemp(path.join(tmpdir(), 'kills-'));
    await makeData(path.join(cwd, 'data'), 13, 4);
    // The first run fills the cache; the second is timed.
    let duration = 0;
    for (const name of ['first', 'reference']) {
      const began = performance.now();
      const { code, stderr } = await start(cwd, name).ended;
      if (code !== 0) throw new Error(stderr);
      duration = performance.now() - began;
    }
    return new KillMatrix(cwd, await outcome(path.join(cwd, 'reference')), duration);
  }

  async remove(): Promise<void> {
    await rm(this.cwd, { recursive: true });
  }

  /** Kills a run up to five times, then lets it end. @throws Error with the seed if the bits differ. */
  async survive(seed: number): Promise<void> {
    const random = new Philox(seed, 200);
    const name = `run-${seed}`;
    const story: string[] = [];
    try {
      let exists = false;
      for (let kill = 0; kill < KILLS_PER_RUN; kill++) {
        const end = await this.#kill(name, exists, random, story);
        if (end.signal !== 'SIGKILL') {
          if (end.code !== 0) throw new Error(`exit code ${end.code}: ${end.stderr}`);
          exists = true;
          break;
        }
        exists = await this.#check(name, story);
      }
      const { code, stderr } = await start(this.cwd, name, exists).ended;
      if (code !== 0) throw new Error(`exit code ${code}: ${stderr}`);
      await this.#compare(name);
      this.tally.runs++;
      await rm(path.join(this.cwd, name), { recursive: true });
    } catch (error) {
      const what = error instanceof Error ? error.message : String(error);
      throw new Error(`seed ${seed}: ${what}\n${story.join('\n')}`, { cause: error });
    }
  }

  /** Starts or resumes the run and kills it. Returns how it ended, which may be before the kill. */
  async #kill(name: string, exists: boolean, random: Philox, story: string[]): Promise<End> {
    const workers = 1 + random.below(3);
    const point = POINTS[random.below(POINTS.length)];
    if (random.uniform() < 0.5 && point !== undefined) {
      // Checkpoints are written in many pieces, config.json in one.
      const times = point.file === 'config.json' ? 1 : point.at === 'write' ? 400 : 5;
      const fault: Fault = { ...point, nth: 1 + random.below(times), action: 'kill' };
      story.push(JSON.stringify(fault));
      const end = await start(this.cwd, name, exists, workers, fault).ended;
      if (end.signal === 'SIGKILL') this.tally.chosen++;
      return end;
    }
    // Loading takes the first part of the time, in which few kills are useful.
    const after = this.duration * (0.3 + 0.7 * random.uniform());
    story.push(`after ${after.toFixed(0)} ms`);
    const running = start(this.cwd, name, exists, workers);
    const timer = setTimeout(() => running.child.kill('SIGKILL'), after);
    const end = await running.ended;
    clearTimeout(timer);
    if (end.signal === 'SIGKILL') this.tally.random++;
    return end;
  }

  /** Checks that every file with its final name is whole. Returns true if there is a checkpoint to resume. */
  async #check(name: string, story: string[]): Promise<boolean> {
    const dir = path.join(this.cwd, name);
    const files = await readdir(path.join(dir, 'checkpoints')).catch((): string[] => []);
    const named = files.filter((file) => !file.endsWith('.tmp'));
    story.push(`  left: ${named.join(' ')}`);
    for (const file of named) await readCheckpoint(path.join(dir, 'checkpoints', file));
    this.tally.checkpoints += named.length;
    if (named.length > 0) {
      if (!named.includes('last.safetensors')) throw new Error('last.safetensors is gone');
      return true;
    }
    // Without a checkpoint, resuming must fail with a message instead of starting anew.
    const { code, stderr } = await start(this.cwd, name, true).ended;
    if (code === 0 || !/^error: expected /.test(stderr)) throw new Error(`no error: ${stderr}`);
    await rm(dir, { recursive: true, force: true });
    this.tally.anew++;
    return false;
  }

  async #compare(name: string): Promise<void> {
    const dir = path.join(this.cwd, name);
    const found = await outcome(dir);
    for (const part of ['last', 'best', 'metrics'] as const) {
      if (!isDeepStrictEqual(found[part], this.reference[part])) {
        throw new Error(`${part} differs from the run that was left alone`);
      }
    }
    const left = (await readdir(dir, { recursive: true })).filter((file) => file.endsWith('.tmp'));
    if (left.length > 0) throw new Error(`left behind: ${left.join(' ')}`);
    const checkpoints = await readdir(path.join(dir, 'checkpoints'));
    if (checkpoints.length !== 4) throw new Error(`3 and best, not ${checkpoints.join(' ')}`);
  }
}

function start(cwd: string, name: string, exists = false, workers = 1, fault?: Fault): Process {
  const words = exists
    ? ['train', '--resume', name, '--workers', String(workers)]
    : trainWords('data', name, ...SETTINGS, '--workers', String(workers));
  if (fault === undefined) return new Process(words, { cwd });
  return new Process(words, { cwd, preload: FAULTS, env: { FAULT: JSON.stringify(fault) } });
}
