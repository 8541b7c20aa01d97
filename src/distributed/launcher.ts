/** Whether an MPI launcher started this process, as its environment tells. Nothing is loaded for that. */

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
 * - Open MPI's `mpirun` sets `OMPI_COMM_WORLD_RANK` and `OMPI_COMM_WORLD_SIZE`.
 * - MPICH's `mpirun` (Hydra; Intel MPI's, too) and `srun --mpi=pmi2` set `PMI_RANK` and `PMI_SIZE`.
 * - `srun --mpi=pmix` sets `PMIX_RANK`, and as every `srun` `SLURM_STEP_NUM_TASKS`.
 *
 * @returns null for a process that was started alone.
 * @throws ConfigError under an `srun` of several tasks without MPI, or an `mpirun -pmi-port`, which does not tell the rank:
 * each would train for itself.
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
 * @throws ConfigError if the launcher's connection, a socket that it hands down, is not there: MPI would end the process.
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

/** For messages: which rank this is; nothing for a process that was started alone. */
export function rankPrefix(): string {
  let place: LaunchInfo | null;
  try {
    place = launchInfoFromEnv();
  } catch {
    // That is what the message is about: there is no rank.
    return '';
  }
  return place === null || place.size === 1 ? '' : `rank ${place.rank} on ${hostname()}: `;
}

/** Variable that names the MPI library to load, for one that is not found by itself. */
export const LIBRARY_VARIABLE = 'ORT_FINETUNE_MPI';

/** Names under which the launcher's library may be found, the likeliest first. */
export function libraryNames(
  launcher: LaunchInfo['launcher'],
  env: Environment = process.env,
): string[] {
  const given = env[LIBRARY_VARIABLE] ?? '';
  if (given !== '') return [given];
  const openMpi = ['libmpi.so.40'];
  // Debian's name of MPICH, then the one that MPICH and Intel MPI have agreed on.
  const mpich = ['libmpich.so.12', 'libmpi.so.12'];
  if (launcher === 'Open MPI') return [...openMpi, 'libmpi.so'];
  if (launcher === 'MPICH') return [...mpich, 'libmpi.so'];
  // PMI is MPICH's protocol (also of its mpirun in a Slurm job), PMIx that of Open MPI as it is commonly built.
  const ordered = env.PMI_RANK === undefined ? [...openMpi, ...mpich] : [...mpich, ...openMpi];
  return [...ordered, 'libmpi.so'];
}
