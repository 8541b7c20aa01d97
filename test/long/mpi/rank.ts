/** A rank of the tests: `mpirun -np N node mpi-rank.js SCENARIO [FOLDER WAY]`. Prints what it found as a line of JSON. */

import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { DdpTrainSession } from '../../../src/distributed/ddp-session.js';
import { launchInfoFromEnv } from '../../../src/distributed/launcher.js';
import { World } from '../../../src/distributed/mpi-process-group.js';
import { CLASSES, WAYS, threeSteps, type Ways } from '../../support/rank-steps.js';

const LARGE = 3_000_001;

const [name = '', folder = '', way = ''] = process.argv.slice(2);

type Scenario = (world: World) => Promise<unknown>;

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  /** Every collective, once. */
  async collectives(world) {
    const { rank } = world;
    const large = await world.sum(new Float32Array(LARGE).fill(rank + 1));
    const bytes = Uint8Array.from({ length: 300 }, (_, i) => (i * (rank + 1)) % 256);
    const received = await world.broadcast(bytes);
    await world.barrier();
    const found = {
      rank,
      size: world.size,
      version: world.version,
      float32: [large[0], large.at(-1), large.length],
      float64: [...(await world.sum(Float64Array.of(0.1, 10 ** rank)))],
      int64: (await world.sum(BigInt64Array.of(2n ** 60n, BigInt(rank)))).join(' '),
      broadcast: received.every((value, i) => value === i % 256),
      gathered: await world.gather({ rank, text: 'ä'.repeat(rank * 7) }),
    };
    world.leave();
    return found;
  },

  /** Steps on the same batches on every rank. */
  async steps(world) {
    const settings = new Map<string, Ways>(Object.entries(WAYS)).get(way);
    if (settings === undefined)
      throw new Error(`expected ${Object.keys(WAYS).join(', ')}, got ${way}`);
    const { losses, state } = await threeSteps(settings, (runtime, artifacts) =>
      DdpTrainSession.open(world, runtime, artifacts, CLASSES, settings),
    );
    world.leave();
    const tensors = [...state].map(([tensor, { data }]) => [tensor, [...data].map(Number)]);
    const found = { losses, state: Object.fromEntries(tensors) as Record<string, number[]> };
    // Too much for one line of a pipe that the ranks share.
    await writeFile(path.join(folder, `${world.rank}.json`), JSON.stringify(found));
    return world.rank;
  },

  /** The last rank fails while the others wait for it. */
  async fails(world) {
    if (world.rank === world.size - 1) throw new Error('the disk of this rank is on fire');
    return (await world.sum(Float32Array.of(1)))[0];
  },

  /** The last rank ends as if nothing were wrong, but without having taken part. */
  async deserts(world) {
    if (world.rank === world.size - 1) return 'gone';
    return (await world.sum(Float32Array.of(1)))[0];
  },

  /** The last rank never comes. */
  async hangs(world) {
    if (world.rank === world.size - 1) await setTimeout(60_000);
    return (await world.sum(Float32Array.of(1)))[0];
  },

  /** The last rank does not even start MPI, see below. */
  absent: () => Promise.resolve(),
};

const place = launchInfoFromEnv();
if (place === null) throw new Error('expected an MPI launcher, found none');
if (name === 'absent' && place.rank === place.size - 1) await setTimeout(60_000);
try {
  const world = await World.open(place);
  const found = await SCENARIOS[name]?.(world);
  process.stdout.write(`${JSON.stringify(found)}\n`);
} catch (error) {
  process.stderr.write(`error: rank ${place.rank}: ${(error as Error).message}\n`);
  process.exitCode = 7;
}
