/**
 * Measures the figures of docs/results/scaling.md and writes them as JSON to the named file: `npm run scaling`. Takes
 * five minutes on an idle machine. The network parts need root.
 */

import { writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { Hosts } from './mpi/hosts.js';
import { installedLaunchers, type Launcher } from '../support/mpi-job.js';
import {
  measureAllReduce,
  measureSteps,
  measureThroughput,
  type AllReduce,
} from './mpi/throughput.js';

const ROUNDS = 3;
/** Rates in megabits per second to which the link between the hosts is limited, to check the model. */
const RATES = [500, 1000, 2500];
/** Message sizes in bytes for slow links. Smaller messages would fit into the burst that the limit allows. */
const SLOW_SIZES = [16_777_216, 44_710_152];

async function overNetwork(): Promise<{
  unlimited: AllReduce[];
  limited: { megabits: number; times: AllReduce[] }[];
}> {
  const whyNot = Hosts.whyNot();
  if (whyNot !== null) throw new Error(`expected two hosts, but that ${whyNot}`);
  const hosts = await Hosts.create();
  try {
    const unlimited = await measureAllReduce(hosts.openMpi(1, []));
    const limited = [];
    for (const megabits of RATES) {
      hosts.slowDown(megabits);
      limited.push({ megabits, times: await measureAllReduce(hosts.openMpi(1, []), SLOW_SIZES) });
    }
    return { unlimited, limited };
  } finally {
    await hosts.remove();
  }
}

function openMpi(): Launcher {
  const found = installedLaunchers().find(({ name }) => name === 'Open MPI');
  if (found === undefined) throw new Error('expected Open MPI (Debian: openmpi-bin), found none');
  return found;
}

const [file = ''] = process.argv.slice(2);
const began = performance.now();
const parts = {
  network: overNetwork,
  sharedMemory: () => measureAllReduce(openMpi()),
  steps: () => measureSteps(ROUNDS),
  throughput: () => measureThroughput(openMpi(), ROUNDS),
};
const figures: Record<string, unknown> = {
  date: new Date().toISOString().slice(0, 10),
  processor: `${cpus().length} × ${cpus()[0]?.model ?? ''}`,
};
for (const [name, measure] of Object.entries(parts)) {
  figures[name] = await measure();
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  process.stderr.write(`${name}, after ${seconds} s: ${JSON.stringify(figures[name])}\n`);
}
await writeFile(file, `${JSON.stringify(figures, null, 2)}\n`);
