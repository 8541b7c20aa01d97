/** Starts jobs of several ranks as a user would: with `mpirun`, or Slurm's `srun`. */

import { execFileSync } from 'node:child_process';
import { WatchedProcess, type WatchedOptions } from './watched-process.js';

/** A program that starts the ranks of a job. */
export interface Launcher {
  readonly name: 'Open MPI' | 'MPICH' | 'Slurm';
  readonly command: string;
  /** Words before the number of ranks. They keep the job on this machine and its loopback interface. */
  readonly words: readonly string[];
  /** Flag before the number of ranks. Default: `-np`. */
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

/** Returns the launchers that are installed, by Debian's names. */
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

/** CI runs as root, which Open MPI refuses unless both variables are set. */
const AS_ROOT = { OMPI_ALLOW_RUN_AS_ROOT: '1', OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1' };

/** Returns this process's environment with `more` and what {@link Job} adds. */
export function environment(more: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  return { ...process.env, ...AS_ROOT, ...more };
}

/** A running job. */
export class Job extends WatchedProcess {
  /** @param words what each rank runs: a Node program and its arguments. */
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

/** Runs a job until it ends. */
export function runJob(
  launcher: Launcher,
  ranks: number,
  words: readonly string[],
  options?: WatchedOptions,
): Job['ended'] {
  return new Job(launcher, ranks, words, options).ended;
}
