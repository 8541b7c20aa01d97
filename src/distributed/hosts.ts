/** Which ranks share a machine, and how they share its processors. */

import { availableParallelism, cpus, hostname } from 'node:os';
import type { ProcessGroup } from './process-group.js';

/** Returns the host name of each rank. Collective: all ranks call it. */
export function gatherHosts(group: ProcessGroup): Promise<string[]> {
  return group.allGather(hostname());
}

/**
 * Returns the number of CPU threads of a rank.
 *
 * @param given the setting; 0 divides the host's processors among its ranks, or leaves the number to ONNX Runtime in a
 *   process that trains alone.
 * @param hosts host name of each rank.
 */
export function threadsPerRank(given: number, rank: number, hosts: readonly string[]): number {
  if (given > 0 || hosts.length === 1) return given;
  const neighbours = hosts.filter((host) => host === hosts[rank]).length;
  // A launcher may have bound this process to fewer processors.
  return Math.max(1, Math.min(availableParallelism(), Math.floor(cpus().length / neighbours)));
}
