/**
 * Runs a Slurm on this machine: `munged`, `slurmctld` and two `slurmd`, which are the nodes `n1` and `n2`. It has keys,
 * sockets, ports and files of its own, so that another Slurm on this machine is not disturbed.
 */

import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Launcher } from '../../support/mpi-job.js';
import { whyNotWith } from '../checks.js';

const NODES = ['n1', 'n2'] as const;
/** CPUs per node that Slurm is told: enough for four tasks, whatever the machine has. */
const CPUS = 4;
const TOOLS = [
  ...['munged', 'slurmctld', 'slurmd', 'srun', 'sinfo', 'squeue', 'scancel'],
  ...['mpirun.openmpi', 'mpirun.mpich'],
  // Slurm's plugin loads this file. Without it `srun --mpi=list` still lists pmix, but no job starts.
  '/usr/lib/*/pmix2/lib/libpmix.so',
];
const PACKAGES = 'slurm-wlm, munge, libpmix-dev, openmpi-bin, mpich';
/** Seconds from SIGTERM to SIGKILL for tasks that must end: Slurm's default. */
export const KILL_WAIT = 30;
/** Milliseconds between two polls. */
const PATIENCE = 100;
/** Seconds that daemons may take to start and to end, and jobs to disappear. */
const LIMIT = 30;

export class Slurm {
  readonly #daemons: ChildProcess[] = [];
  #ready = false;

  private constructor(
    /** Folder of this Slurm's files, removed with it. */
    readonly folder: string,
  ) {}

  /** Returns why this machine cannot run a Slurm, or null if it can. */
  static whyNot(): string | null {
    if (process.getuid?.() !== 0) return "needs root, to be Slurm's user";
    return whyNotWith(TOOLS, PACKAGES);
  }

  static async create(): Promise<Slurm> {
    const slurm = new Slurm(await mkdtemp(path.join(tmpdir(), 'slurm-')));
    try {
      await slurm.#start();
    } catch (error) {
      await slurm.remove();
      throw error;
    }
    return slurm;
  }

  /** Environment for programs that talk to this Slurm. PMIx and the MPI libraries write to its folder, too. */
  get env(): Readonly<Record<string, string>> {
    return {
      SLURM_CONF: this.#file('slurm.conf'),
      SLURM_PMIX_TMPDIR: this.#file('tmp'),
      TMPDIR: this.#file('tmp'),
      // There may be more ranks than cores: let waiting ranks yield theirs. mpirun sets this by itself.
      OMPI_MCA_mpi_yield_when_idle: '1',
    };
  }

  /** Returns a launcher that uses `srun`. @param words flags before the number of tasks. */
  srun(...words: string[]): Launcher {
    return { name: 'Slurm', command: 'srun', words, count: '-n' };
  }

  /** Ends the remaining jobs, then the daemons. */
  async remove(): Promise<void> {
    try {
      if (this.#ready) await this.#endJobs();
    } finally {
      for (const daemon of this.#daemons.toReversed()) await stop(daemon);
      await rm(this.folder, { recursive: true });
    }
  }

  async #endJobs(): Promise<void> {
    await this.#ask('scancel', '--user', 'root');
    await this.#until('no job', async () => (await this.#ask('squeue', '-h')) === '');
  }

  async #start(): Promise<void> {
    // munged requires that everyone can reach its socket.
    await chmod(this.folder, 0o755);
    await mkdir(this.#file('tmp'));
    await mkdir(this.#file('state'));
    await writeFile(this.#file('key'), randomBytes(128), { mode: 0o600 });
    await writeFile(this.#file('slurm.conf'), this.#configuration(await freePorts(3)));
    const munge = ['key-file', 'socket', 'pid-file', 'seed-file'].map(
      (name) => `--${name}=${this.#file(name === 'key-file' ? 'key' : `munge.${name}`)}`,
    );
    this.#daemon('munged', '--foreground', ...munge);
    this.#daemon('slurmctld', '-D');
    for (const node of NODES) this.#daemon('slurmd', '-D', '-N', node);
    await this.#until('idle nodes', async () => {
      const states = await this.#ask('sinfo', '-h', '-N', '-o', '%t');
      return states.split('\n').filter((state) => state === 'idle').length === NODES.length;
    });
    this.#ready = true;
  }

  #configuration([controller, ...nodes]: readonly number[]): string {
    // Slurm compares the host name without its domain.
    const [host] = hostname().split('.');
    const shape = `CPUs=${CPUS} Boards=1 SocketsPerBoard=1 CoresPerSocket=${CPUS} ThreadsPerCore=1`;
    return [
      'ClusterName=checks',
      `SlurmctldHost=${host}(127.0.0.1)`,
      `SlurmctldPort=${controller}`,
      'SlurmUser=root',
      'AuthType=auth/munge',
      `AuthInfo=socket=${this.#file('munge.socket')}`,
      'MpiDefault=none',
      'ProctrackType=proctrack/linuxproc',
      'TaskPlugin=task/none',
      'SelectType=select/cons_tres',
      'SelectTypeParameters=CR_Core',
      'SlurmdParameters=config_overrides',
      `KillWait=${KILL_WAIT}`,
      `StateSaveLocation=${this.#file('state')}`,
      `SlurmdSpoolDir=${this.#file('spool-%n')}`,
      `SlurmctldPidFile=${this.#file('slurmctld.pid')}`,
      `SlurmdPidFile=${this.#file('slurmd-%n.pid')}`,
      `SlurmctldLogFile=${this.#file('slurmctld.log')}`,
      `SlurmdLogFile=${this.#file('slurmd-%n.log')}`,
      ...NODES.map(
        (node, i) =>
          `NodeName=${node} NodeHostname=${host} NodeAddr=127.0.0.1 Port=${nodes[i]} ${shape}`,
      ),
      `PartitionName=main Nodes=${NODES.join(',')} Default=YES MaxTime=INFINITE State=UP`,
      '',
    ].join('\n');
  }

  #daemon(command: string, ...words: string[]): void {
    const daemon = spawn(command, words, {
      env: { ...process.env, ...this.env },
      stdio: 'ignore',
    });
    this.#daemons.push(daemon);
  }

  async #ask(command: string, ...words: string[]): Promise<string> {
    const env = { ...process.env, ...this.env };
    return (await promisify(execFile)(command, words, { env })).stdout;
  }

  async #until(what: string, holds: () => Promise<boolean>): Promise<void> {
    const end = performance.now() + 1000 * LIMIT;
    while (!(await holds().catch(() => false))) {
      const gone = this.#daemons.find(({ exitCode }) => exitCode !== null)?.spawnfile;
      if (gone !== undefined || performance.now() > end) {
        const log = await readFile(this.#file('slurmctld.log'), 'utf8').catch(() => '');
        const found = gone === undefined ? '' : `the end of ${gone}, `;
        throw new Error(`expected ${what} within ${LIMIT} s, got ${found}${log.slice(-1000)}`);
      }
      await setTimeout(PATIENCE);
    }
  }

  #file(name: string): string {
    return path.join(this.folder, name);
  }
}

async function stop(daemon: ChildProcess): Promise<void> {
  if (daemon.pid === undefined || daemon.exitCode !== null || daemon.signalCode !== null) return;
  const ended = once(daemon, 'exit');
  daemon.kill('SIGTERM');
  const timer = new AbortController();
  const late = setTimeout(1000 * LIMIT, null, { signal: timer.signal }).then(
    () => daemon.kill('SIGKILL'),
    () => false,
  );
  await ended;
  timer.abort();
  await late;
}

/** Returns ports on which no process listens. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  return Promise.all(
    servers.map(async (server) => {
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      return port;
    }),
  ).finally(() => {
    for (const server of servers) server.close();
  });
}
