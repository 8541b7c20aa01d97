/** Reads from the environment whether an MPI launcher started this process. Loads no library. */

import { fstatSync } from 'node:fs';
import { hostname } from 'node:os';
import { ConfigError } from '../common/errors.js';

/** Place of a process among the processes that a launcher started together. */
export interface LaunchInfo {
  readonly launcher: 'Open MPI' | 'MPICH' | 'Slurm';
  readonly rank: number;
  /** Processes of the job, 1 or more. */
  readonly size: number;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Returns the rank of this process and the number of ranks.
 *
 * - Open MPI's `mpirun` sets `OMPI_COMM_WORLD_RANK` and `OMPI_COMM_WORLD_SIZE`.
 * - MPICH's `mpirun` (Hydra, also used by Intel MPI) and `srun --mpi=pmi2` set `PMI_RANK` and `PMI_SIZE`.
 * - `srun --mpi=pmix` sets `PMIX_RANK` and, like every `srun`, `SLURM_STEP_NUM_TASKS`.
 *
 * @returns null for a process that was started alone.
 * @throws ConfigError for an `srun` of several tasks without MPI, and for `mpirun -pmi-port`, which does not set the
 *   rank: each process would train by itself.
 */
export function launchInfoFromEnv(env: Environment = process.env): LaunchInfo | null {
  const place = (
    launcher: LaunchInfo['launcher'],
    rank?: string,
    size?: string,
  ): LaunchInfo | null => {
    const [at, of] = [Number(rank || NaN), Number(size || NaN)];
    return Number.isInteger(at) && Number.isInteger(of) ? { launcher, rank: at, size: of } : null;
  };
  const tasks = env.SLURM_STEP_NUM_TASKS;
  const found =
    place('Open MPI', env.OMPI_COMM_WORLD_RANK, env.OMPI_COMM_WORLD_SIZE) ??
    place(tasks === undefined ? 'MPICH' : 'Slurm', env.PMI_RANK, env.PMI_SIZE) ??
    place('Slurm', env.PMIX_RANK, tasks);
  if (found !== null) return found;
  if (Number(tasks ?? 1) > 1 && env.SLURM_PROCID !== undefined) {
    throw new ConfigError(
      `expected srun to offer MPI to its ${tasks ?? ''} tasks, found neither PMIX_RANK nor PMI_RANK in the ` +
        'environment; start them with srun --mpi=pmix (or pmi2)',
    );
  }
  if (env.PMI_PORT !== undefined) {
    throw new ConfigError(
      'expected mpirun to tell its ranks in PMI_RANK, found PMI_PORT in the environment; start them without -pmi-port',
    );
  }
  return null;
}

/**
 * Checks that the launcher's socket has been inherited: without it, MPI would end the process.
 *
 * @throws ConfigError if it has not.
 */
export function checkConnection(env: Environment = process.env): void {
  if (env.PMI_FD === undefined || isSocket(Number(env.PMI_FD))) return;
  throw new ConfigError(
    `expected the launcher's connection at the file descriptor PMI_FD=${env.PMI_FD}, found none: npm and npx do not ` +
      'hand it down; start the ranks with node ("node scripts/run.mjs train", or "node node_modules/.bin/ort-finetune ' +
      'train")',
  );
}

function isSocket(descriptor: number): boolean {
  try {
    return fstatSync(descriptor).isSocket();
  } catch {
    return false;
  }
}

/** Returns true on rank 0, the only rank that prints and writes files, and in a process that trains alone. */
export function isMainProcess(): boolean {
  return (launchInfoFromEnv()?.rank ?? 0) === 0;
}

/** Returns the beginning of messages: rank and host, or nothing for a process that was started alone. */
export function rankPrefix(): string {
  let place: LaunchInfo | null;
  try {
    place = launchInfoFromEnv();
  } catch {
    // The message reports this very problem: the rank is unknown.
    return '';
  }
  return place === null || place.size === 1 ? '' : `rank ${place.rank} on ${hostname()}: `;
}

/** Environment variable with the MPI library to load, in case it is not found. */
export const LIBRARY_VARIABLE = 'ORT_FINETUNE_MPI';

/** Returns the names under which the launcher's MPI library may be found, the likeliest first. */
export function libraryNames(
  launcher: LaunchInfo['launcher'],
  env: Environment = process.env,
): string[] {
  const given = env[LIBRARY_VARIABLE] ?? '';
  if (given !== '') return [given];
  const openMpi = ['libmpi.so.40'];
  // Debian's name of MPICH, then the common name of MPICH and Intel MPI.
  const mpich = ['libmpich.so.12', 'libmpi.so.12'];
  if (launcher === 'Open MPI') return [...openMpi, 'libmpi.so'];
  if (launcher === 'MPICH') return [...mpich, 'libmpi.so'];
  // PMI is the protocol of MPICH (of its mpirun in a Slurm job, too); PMIx that of usual builds of Open MPI.
  const ordered = env.PMI_RANK === undefined ? [...openMpi, ...mpich] : [...mpich, ...openMpi];
  return [...ordered, 'libmpi.so'];
}
