/**
 * Runs the command line as a rank of a test job: `mpirun -np N node mpi-cli.js WORD…`. `{rank}` in a word stands for
 * the rank's number. Prints the process id on standard error.
 */

import { launchInfoFromEnv } from '../../src/distributed/launcher.js';

const rank = launchInfoFromEnv()?.rank ?? 0;
process.stderr.write(`rank ${rank} is process ${process.pid}\n`);
process.argv.splice(2, Infinity, ...process.argv.slice(2).map(forRank));
await import('../../src/cli.js');

function forRank(word: string): string {
  return word.replaceAll('{rank}', String(rank));
}
