/**
 * Runs the endurance tests, `npm run test:endurance [KILLS] [FIRST_SEED]`: at least KILLS kills (default 120), 2,000
 * steps without growing memory after 2,000 steps of warm-up, and per reader 100,000 mutated files and 20,000 well
 * formed files with nonsensical contents. Prints a table for docs/results/reliability.md. A failing case names its
 * seed, and the exit code is 1.
 */

import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { readCheckpoint } from '../../src/platform/node/defaults.js';
import { WeightsError } from '../../src/common/errors.js';
import { KillMatrix } from './kill-matrix.js';
import { READERS, fuzz, fuzzNonsense, generator, mutate, type Counts } from './mutations.js';
import { testProgram } from '../support/paths.js';

const STEPS_PER_EPOCH = 20;
const EPOCHS = 200;
/** Epochs of warm-up: V8 needs 2,000 steps to settle the sizes of its heaps (docs/results/reliability.md). */
const WARM_UP = 100;
const GROWTH = 0.05;
const MUTATIONS = 100_000;
const NONSENSE = 20_000;
const CHECKPOINT_MUTATIONS = 3000;

const [kills = 120, firstSeed = 1000] = process.argv.slice(2).map(Number);
const rows: [string, string][] = [];

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function endureKills(): Promise<void> {
  const matrix = await KillMatrix.create();
  const { tally } = matrix;
  const done = (): number => tally.random + tally.chosen;
  try {
    for (let seed = firstSeed; done() < kills; seed++) {
      await matrix.survive(seed);
      say(`seed ${seed}: ${done()} of ${kills} kills survived`);
    }
    // The reference run of the kill matrix provides the checkpoint to mutate.
    await mutateCheckpoint(path.join(matrix.cwd, 'reference', 'checkpoints', 'last.safetensors'));
  } finally {
    await matrix.remove();
  }
  rows.push(
    [
      'kills survived (SIGKILL)',
      `${done()}: ${tally.random} at random moments, ${tally.chosen} at chosen points`,
    ],
    ['runs killed up to 5 times, all ended bit for bit alike', String(tally.runs)],
    ['kills before the first checkpoint (refused to resume, started anew)', String(tally.anew)],
    ['checkpoints read back whole after kills', String(tally.checkpoints)],
    ['checkpoints damaged or lost, bytes lost', '0, 0'],
  );
}

async function mutateCheckpoint(file: string): Promise<void> {
  const original = await readFile(file);
  const mutant = `${file}.mutant`;
  let refused = 0;
  for (let seed = firstSeed; seed < firstSeed + CHECKPOINT_MUTATIONS; seed++) {
    const bytes = mutate(original, generator(seed));
    if (original.equals(bytes)) continue;
    await writeFile(mutant, bytes);
    const error: unknown = await readCheckpoint(mutant).then(
      () => 'it was read',
      (reason: unknown) => reason,
    );
    if (!(error instanceof WeightsError)) {
      throw new Error(`seed ${seed} of a damaged checkpoint: ${String(error)}`, { cause: error });
    }
    refused++;
  }
  rows.push(['damaged checkpoints, all of them refused', String(refused)]);
}

async function endureSteps(): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), 'soak-'));
  const program = testProgram('long/soak');
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [
      program,
      folder,
      String(EPOCHS),
    ]);
    const memory = stdout.trimEnd().split('\n').map(Number);
    if (memory.length !== EPOCHS) throw new Error(`expected ${EPOCHS} lines, got ${memory.length}`);
    const mean = (from: number, to: number): number =>
      memory.slice(from, to).reduce((sum, value) => sum + value, 0) / (to - from);
    const windows = [20, WARM_UP, EPOCHS - 20] as const;
    const [early, warm, end] = windows.map((from) => mean(from, from + 20)) as [
      number,
      number,
      number,
    ];
    const growth = end / warm - 1;
    const mb = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;
    const text =
      `${mb(warm)}, then ${mb(end)}: ${(100 * growth).toFixed(1)} % ` +
      `(${mb(early)} after the first ${20 * STEPS_PER_EPOCH} steps)`;
    const measured = (EPOCHS - WARM_UP) * STEPS_PER_EPOCH;
    rows.push([`resident memory over ${measured} steps, after as many to warm up`, text]);
    say(`memory: ${text}`);
    if (growth > GROWTH) {
      throw new Error(`expected growth of at most ${100 * GROWTH} %, got ${text}`);
    }
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function endureMutations(): Promise<void> {
  const told = ({ refused, read }: Counts): string =>
    `${refused + read}: ${refused} refused with a typed error, ${read} read`;
  for (const [ending, read, make] of READERS) {
    const before = process.memoryUsage.rss();
    const mutated = told(await fuzz(ending, read, firstSeed, MUTATIONS));
    const nonsense = told(await fuzzNonsense(make, read, firstSeed, NONSENSE));
    const grown = process.memoryUsage.rss() - before;
    rows.push(
      [`mutated ${ending} files`, mutated],
      [`well formed ${ending} files that mean nonsense`, nonsense],
    );
    say(`${ending}: ${mutated}; ${nonsense}`);
    if (grown > 500e6)
      throw new Error(`${ending}: ${grown} bytes of memory grown, for small files`);
  }
}

const began = Date.now();
for (const part of [endureSteps, endureMutations, endureKills]) {
  try {
    await part();
  } catch (error) {
    process.exitCode = 1;
    rows.push([`FAILED: ${part.name}`, error instanceof Error ? error.message : String(error)]);
    say(String(error));
  }
}
rows.push(['time', `${((Date.now() - began) / 60_000).toFixed(0)} minutes`]);
say(`\n| ${new Date().toISOString().slice(0, 10)}, first seed ${firstSeed} | |\n| --- | --- |`);
for (const [what, value] of rows) say(`| ${what} | ${value} |`);
