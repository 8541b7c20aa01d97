/** Jobs of several ranks, started as a user would: by `mpirun`, or Slurm's `srun`. */

import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { End } from './run-process.js';

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
export function environment(more: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const root = { OMPI_ALLOW_RUN_AS_ROOT: '1', OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1' };
  return { ...process.env, ...root, ...more };
}

/** Path of a compiled program of this folder. */
export function program(name: string): string {
  return fileURLToPath(new URL(`${name}.js`, import.meta.url));
}

export interface JobOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** A job under way. */
export class Job {
  readonly child: ChildProcess;
  readonly ended: Promise<End & { readonly seconds: number }>;
  #stdout = '';
  #stderr = '';
  readonly #watchers = new Set<() => void>();

  /** @param words of each rank: a program of Node and its arguments. */
  constructor(launcher: Launcher, ranks: number, words: readonly string[], options?: JobOptions) {
    const { count = '-np' } = launcher;
    const given = [...launcher.words, count, String(ranks), process.execPath, ...words];
    const began = performance.now();
    this.child = spawn(launcher.command, given, {
      cwd: options?.cwd,
      env: environment(options?.env),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
      for (const watcher of this.#watchers) watcher();
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
      for (const watcher of this.#watchers) watcher();
    });
    this.ended = new Promise((resolve, reject) => {
      this.child.once('error', reject);
      this.child.once('close', (code, signal) => {
        const seconds = (performance.now() - began) / 1000;
        resolve({ code, signal, stdout: this.#stdout, stderr: this.#stderr, seconds });
        for (const watcher of this.#watchers) watcher();
      });
    });
  }

  /** Sends a signal to a rank of `mpi-cli`. */
  async signal(rank: number, name: NodeJS.Signals): Promise<void> {
    const [, pid] = await this.printed(new RegExp(`rank ${rank} is process (\\d+)`));
    process.kill(Number(pid), name);
  }

  /** Waits until the ranks have printed `pattern`; gives its match. */
  async printed(pattern: RegExp): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const check = (): void => {
        const found = pattern.exec(this.#stdout) ?? pattern.exec(this.#stderr);
        const over = this.child.exitCode !== null || this.child.signalCode !== null;
        if (found === null && !over) return;
        this.#watchers.delete(check);
        if (found !== null) resolve(found);
        else {
          const text = `${this.#stdout}${this.#stderr}`;
          reject(new Error(`ended without ${String(pattern)}: ${text}`));
        }
      };
      this.#watchers.add(check);
      check();
    });
  }
}

/** Runs a job to its end. */
export function runJob(
  launcher: Launcher,
  ranks: number,
  words: readonly string[],
  options?: JobOptions,
): Job['ended'] {
  return new Job(launcher, ranks, words, options).ended;
}
