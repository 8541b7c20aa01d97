/**
 * Times all-reduces as a training step makes them: `mpirun -np N node timings.js BYTES…`. Rank 0 prints the medians
 * as JSON.
 */

import { launchInfoFromEnv } from '../../../src/distributed/launcher.js';
import { MpiProcessGroup } from '../../../src/distributed/mpi-process-group.js';
import { median } from '../../parity/parity-fixtures.js';

/** Bytes to reduce per message size, from which the number of all-reduces follows, within these limits. */
const BYTES = 3e8;
const [FEWEST, MOST] = [10, 500];
const WARM_UP = 3;

const launch = launchInfoFromEnv();
if (launch === null) throw new Error('expected an MPI launcher, found none');
const group = await MpiProcessGroup.open(launch);
const found: { bytes: number; seconds: number }[] = [];
for (const bytes of process.argv.slice(2).map(Number)) {
  const times: number[] = [];
  const count = Math.max(FEWEST, Math.min(MOST, Math.round(BYTES / bytes)));
  let values = new Float32Array(bytes / 4);
  for (let i = 0; i < WARM_UP + count; i++) {
    // Let all ranks begin together; after `barrier` they would be 5 ms apart.
    await group.allReduce(Float64Array.of(0));
    const began = performance.now();
    values = await group.allReduce(values);
    if (i >= WARM_UP) times.push((performance.now() - began) / 1000);
  }
  found.push({ bytes, seconds: median(times) });
}
group.abortOnExit = false;
if (group.rank === 0) process.stdout.write(`${JSON.stringify(found)}\n`);
