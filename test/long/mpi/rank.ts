/** Plays a rank of a test job: `mpirun -np N node rank.js SCENARIO [FOLDER WAY]`. Prints its results as a JSON line. */

import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { DdpTrainSession } from '../../../src/distributed/ddp-session.js';
import { launchInfoFromEnv } from '../../../src/distributed/launcher.js';
import { MpiProcessGroup } from '../../../src/distributed/mpi-process-group.js';
import { CLASSES, WAYS, threeSteps, type Ways } from '../../support/rank-steps.js';

const LARGE = 3_000_001;

const [name = '', folder = '', way = ''] = process.argv.slice(2);

type Scenario = (group: MpiProcessGroup) => Promise<unknown>;

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  /** Calls every collective once. */
  async collectives(group) {
    const { rank } = group;
    const large = await group.allReduce(new Float32Array(LARGE).fill(rank + 1));
    const bytes = Uint8Array.from({ length: 300 }, (_, i) => (i * (rank + 1)) % 256);
    const received = await group.broadcast(bytes);
    await group.barrier();
    const found = {
      rank,
      size: group.size,
      version: group.backend,
      float32: [large[0], large.at(-1), large.length],
      float64: [...(await group.allReduce(Float64Array.of(0.1, 10 ** rank)))],
      int64: (await group.allReduce(BigInt64Array.of(2n ** 60n, BigInt(rank)))).join(' '),
      broadcast: received.every((value, i) => value === i % 256),
      gathered: await group.allGather({ rank, text: 'ä'.repeat(rank * 7) }),
    };
    group.abortOnExit = false;
    return found;
  },

  /** Takes steps on the same batches on every rank. */
  async steps(group) {
    const settings = new Map<string, Ways>(Object.entries(WAYS)).get(way);
    if (settings === undefined)
      throw new Error(`expected ${Object.keys(WAYS).join(', ')}, got ${way}`);
    const { losses, state } = await threeSteps(settings, (runtime, artifacts) =>
      DdpTrainSession.open({ group, runtime, artifacts, classes: CLASSES, settings }),
    );
    group.abortOnExit = false;
    const tensors = [...state].map(([tensor, { data }]) => [tensor, [...data].map(Number)]);
    const found = { losses, state: Object.fromEntries(tensors) as Record<string, number[]> };
    // Write to files: this is too much for one line of a pipe that the ranks share.
    await writeFile(path.join(folder, `${group.rank}.json`), JSON.stringify(found));
    return group.rank;
  },

  /** Lets the last rank fail while the others wait for it. */
  async fails(group) {
    if (group.rank === group.size - 1) throw new Error('the disk of this rank is on fire');
    return (await group.allReduce(Float32Array.of(1)))[0];
  },

  /** Lets the last rank end without an error, but also without having taken part. */
  async deserts(group) {
    if (group.rank === group.size - 1) return 'gone';
    return (await group.allReduce(Float32Array.of(1)))[0];
  },

  /** Lets the last rank wait forever, while the others call a collective. */
  async hangs(group) {
    if (group.rank === group.size - 1) await setTimeout(60_000);
    return (await group.allReduce(Float32Array.of(1)))[0];
  },

  /** Does nothing: the last rank does not start MPI (see below). */
  absent: () => Promise.resolve(),
};

const launch = launchInfoFromEnv();
if (launch === null) throw new Error('expected an MPI launcher, found none');
if (name === 'absent' && launch.rank === launch.size - 1) await setTimeout(60_000);
try {
  const group = await MpiProcessGroup.open(launch);
  const found = await SCENARIOS[name]?.(group);
  process.stdout.write(`${JSON.stringify(found)}\n`);
} catch (error) {
  process.stderr.write(`error: rank ${launch.rank}: ${(error as Error).message}\n`);
  process.exitCode = 7;
}
