/** Opens the process group of this process: the ranks of an MPI job, or the process alone. */

import { launchInfoFromEnv } from './launcher.js';
import { type ProcessGroup, SINGLE_PROCESS } from './process-group.js';

/** MPI can be started once in a process; all of its runs share it. */
let opened: Promise<ProcessGroup> | null = null;

/**
 * Returns the ranks that an MPI launcher started with this process, or {@link SINGLE_PROCESS}: without a launcher, MPI
 * is not even looked for.
 *
 * @throws ConfigError if the launcher cannot be reached, DistributedError if its MPI library cannot be used.
 */
export async function openProcessGroup(): Promise<ProcessGroup> {
  const launch = launchInfoFromEnv();
  if (launch === null || launch.size === 1) return SINGLE_PROCESS;
  const { MpiProcessGroup } = await import('./mpi-process-group.js');
  opened ??= MpiProcessGroup.open(launch);
  return opened;
}
