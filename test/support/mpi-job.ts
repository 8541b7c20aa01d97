/** Jobs of several ranks, started as a user would: by `mpirun`, or Slurm's `srun`. */

import { execFileSync } from 'node:child_process';
import { WatchedProcess, type WatchedOptions } from './watched-process.js';

/** What starts the ranks of a job. */
export interface Launcher {
  readonly name: 'Open MPI' | 'MPICH' | 'Slurm';
  readonly command: string;
  /** Words before the number of ranks. Everything stays on this machine, and on its loopback interface. */
  readonly words: readonly string[];
  /** The flag of the number of ranks, `-np` if not given. */
  readonly count?: string;
}

const CANDIDATES: readonly Launcher[] = [
  {
    name: 'Open MPI',
    command: 'mpirun.openmpi',
    words: [
      ...['--oversubscribe', '--bind-to', 'none'],
      ...['--mca', 'btl', 'self,vader', '--mca', 'oob_tcp_if_include', 'lo'],
    ],
  },
  { name: 'MPICH', command: 'mpirun.mpich', words: ['-iface', 'lo'] },
];

/** Those that are installed, under Debian's names. */
export function installedLaunchers(): Launcher[] {
  return CANDIDATES.filter(({ command }) => {
    try {
      execFileSync(command, ['--version'], { stdio: 'ignore', env: environment() });
      return true;
    } catch {
      return false;
    }
  });
}

/** Open MPI refuses to run as root, as which CI runs, unless told twice. */
const AS_ROOT = { OMPI_ALLOW_RUN_AS_ROOT: '1', OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1' };

/** This process's environment, and what {@link Job} adds to it. */
export function environment(more: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  return { ...process.env, ...AS_ROOT, ...more };
}

/** A job under way. */
export class Job extends WatchedProcess {
  /** @param words of each rank: a program of Node and its arguments. */
  constructor(
    launcher: Launcher,
    ranks: number,
    words: readonly string[],
    options: WatchedOptions = {},
  ) {
    const { command, count = '-np' } = launcher;
    const given = [...launcher.words, count, String(ranks), process.execPath, ...words];
    super(command, given, { ...options, env: { ...AS_ROOT, ...options.env } });
  }

  /** Sends a signal to a rank of `mpi-cli`. */
  async signal(rank: number, name: NodeJS.Signals): Promise<void> {
    const [, pid] = await this.printed(new RegExp(`rank ${rank} is process (\\d+)`));
    process.kill(Number(pid), name);
  }
}

/** Runs a job to its end. */
export function runJob(
  launcher: Launcher,
  ranks: number,
  words: readonly string[],
  options?: WatchedOptions,
): Job['ended'] {
  return new Job(launcher, ranks, words, options).ended;
}
