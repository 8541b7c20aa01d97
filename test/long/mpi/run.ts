/**
 * The long proofs of data parallel, `npm run test:mpi [-- PART…]`: a line for each, and exit code 1 if one fails.
 * Parts: `tests` (those of npm test), `ddp` (against PyTorch; needs Python), `hosts` (two network namespaces; needs
 * root), `slurm` (a Slurm of its own; needs root), `throughput` (needs an idle machine).
 */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { ddpProofs } from './ddp.js';
import { hostProofs } from './host-checks.js';
import { Hosts } from './hosts.js';
import { installedLaunchers, type Launcher } from '../../support/mpi-job.js';
import { measureThroughput } from './throughput.js';
import { slurmProofs } from './slurm-checks.js';
import { Slurm } from './slurm.js';
import { Skipped, showAll, type Check } from '../checks.js';
import { ROOT } from '../../support/paths.js';

/** Of the twenty steps: a minute each. */
const SEEDS = 3;
/** Of the throughput. */
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
  yield* await Promise.resolve(ddpProofs(openMpi(), SEEDS));
}

/** Proofs on something that is made for them, where this machine can have it. */
async function* on<T extends { remove(): Promise<void> }>(
  name: string,
  kind: { whyNot(): string | null; create(): Promise<T> },
  proofs: (made: T, local: Launcher) => Check[],
): AsyncGenerator<Check> {
  const whyNot = kind.whyNot();
  if (whyNot !== null) {
    yield { name, run: () => Promise.reject(new Skipped(whyNot)) };
    return;
  }
  const made = await kind.create();
  try {
    yield* proofs(made, openMpi());
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
  hosts: () => on('two hosts', Hosts, hostProofs),
  slurm: () => on('Slurm', Slurm, slurmProofs),
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

process.exitCode = (await showAll(chosen(process.argv.slice(2)))) ? 0 : 1;
