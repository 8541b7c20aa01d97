/**
 * Runs the long checks of data-parallel training, `npm run test:mpi [-- PART…]`. Prints a line per check; the exit
 * code is 1 if one fails. Parts: `tests` (from npm test), `ddp` (against PyTorch; needs Python), `hosts` (two network
 * namespaces; needs root), `slurm` (a Slurm of its own; needs root), `throughput` (needs an idle machine).
 */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { ddpChecks } from './ddp.js';
import { hostChecks } from './host-checks.js';
import { Hosts } from './hosts.js';
import { installedLaunchers, type Launcher } from '../../support/mpi-job.js';
import { measureThroughput } from './throughput.js';
import { slurmChecks } from './slurm-checks.js';
import { Slurm } from './slurm.js';
import { Skipped, runChecks, type Check } from '../checks.js';
import { ROOT } from '../../support/paths.js';

/** Seeds of the twenty steps, each of which takes a minute. */
const SEEDS = 3;
/** Rounds of the throughput measurement. */
const ROUNDS = 3;
const MEGABYTE = 2 ** 20;

async function* tests(): AsyncGenerator<Check> {
  for (const name of ['unit/distributed/mpi', 'integration/distributed']) {
    yield await Promise.resolve({
      name: `test/${name}.test.ts, under ${installedLaunchers()
        .map((launcher) => launcher.name)
        .join(' and ')}`,
      async run() {
        const words = ['run', '-s', 'jest', '--', `test/${name}.test`];
        const options = { cwd: ROOT, maxBuffer: 64 * MEGABYTE };
        const { stderr } = await promisify(execFile)('npm', words, options);
        return /^Tests: +(.*)$/m.exec(stderr)?.[1] ?? '';
      },
    });
  }
}

async function* ddp(): AsyncGenerator<Check> {
  yield* await Promise.resolve(ddpChecks(openMpi(), SEEDS));
}

/** Yields checks that need hosts or a Slurm, which is created first; or one skipped check if it cannot be. */
async function* on<T extends { remove(): Promise<void> }>(
  name: string,
  kind: { whyNot(): string | null; create(): Promise<T> },
  checks: (made: T, local: Launcher) => Check[],
): AsyncGenerator<Check> {
  const whyNot = kind.whyNot();
  if (whyNot !== null) {
    yield { name, run: () => Promise.reject(new Skipped(whyNot)) };
    return;
  }
  const made = await kind.create();
  try {
    yield* checks(made, openMpi());
  } finally {
    await made.remove();
  }
}

async function* throughput(): AsyncGenerator<Check> {
  yield* await Promise.resolve([
    {
      name: 'two ranks with a thread each against one with two: at least 0.9 of the throughput',
      async run() {
        const found = await measureThroughput(openMpi(), ROUNDS);
        const { oneRank, twoRanks, ratio, allReduceShare } = found;
        const figures =
          `${ratio.toFixed(2)} (${twoRanks.toFixed(1)} against ${oneRank.toFixed(1)} images/s at batch ` +
          `${found.batch}, medians of ${found.rounds} rounds), ${(100 * allReduceShare).toFixed(0)} % of the ` +
          'time in all-reduce';
        assert.ok(ratio >= 0.9, `expected at least 0.9, got ${figures}`);
        return figures;
      },
    },
  ]);
}

function openMpi(): Launcher {
  const found = installedLaunchers().find(({ name }) => name === 'Open MPI');
  if (found === undefined) throw new Error('expected Open MPI (Debian: openmpi-bin), found none');
  return found;
}

const PARTS: Readonly<Record<string, () => AsyncGenerator<Check>>> = {
  tests,
  ddp,
  hosts: () => on('two hosts', Hosts, hostChecks),
  slurm: () => on('Slurm', Slurm, slurmChecks),
  throughput,
};

async function* chosen(names: readonly string[]): AsyncGenerator<Check> {
  for (const name of names.length > 0 ? names : Object.keys(PARTS)) {
    const part = PARTS[name];
    if (part === undefined) {
      throw new Error(`expected ${Object.keys(PARTS).join(', ')}, got ${name}`);
    }
    yield* part();
  }
}

process.exitCode = (await runChecks(chosen(process.argv.slice(2)))) ? 0 : 1;
