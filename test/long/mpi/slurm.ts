/**
 * A Slurm on this machine: `munged`, `slurmctld` and two `slurmd`, which are the nodes `n1` and `n2`. Keys, sockets,
 * ports and files are its own, so one that is already here may run on.
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
/** Enough for four tasks on a node, whatever the machine has. */
const CPUS = 4;
const TOOLS = [
  ...['munged', 'slurmctld', 'slurmd', 'srun', 'sinfo', 'squeue', 'scancel'],
  ...['mpirun.openmpi', 'mpirun.mpich'],
  // Where Slurm's plugin looks: without it `srun --mpi=list` has pmix all the same, but no job starts.
  '/usr/lib/*/pmix2/lib/libpmix.so',
];
const PACKAGES = 'slurm-wlm, munge, libpmix-dev, openmpi-bin, mpich';
/** Seconds from SIGTERM to SIGKILL for tasks that are to end, where Slurm has 30 if it is not told. */
export const KILL_WAIT = 5;
/** Milliseconds between two looks. */
const PATIENCE = 100;
/** Seconds for the daemons to be ready, for jobs to be gone, for a daemon to end. */
const LIMIT = 30;

export class Slurm {
  readonly #daemons: ChildProcess[] = [];
  #ready = false;

  private constructor(
    /** Goes with this Slurm. */
    readonly folder: string,
  ) {}

  /** Why this machine cannot have it; null if it can. */
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

  /** For whatever speaks to it. What PMIx and the MPI libraries write is in the folder, too. */
  get env(): Readonly<Record<string, string>> {
    return {
      SLURM_CONF: this.#file('slurm.conf'),
      SLURM_PMIX_TMPDIR: this.#file('tmp'),
      TMPDIR: this.#file('tmp'),
      // More ranks than cores: those that wait leave theirs to the others. mpirun does so by itself.
      OMPI_MCA_mpi_yield_when_idle: '1',
    };
  }

  /** @param words before the number of tasks. */
  srun(...words: string[]): Launcher {
    return { name: 'Slurm', command: 'srun', words, count: '-n' };
  }

  /** Ends what jobs there still are, then the daemons. */
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
    // munged wants a socket that everyone can reach.
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
    // Without its domain, as Slurm compares it.
    const [host] = hostname().split('.');
    const shape = `CPUs=${CPUS} Boards=1 SocketsPerBoard=1 CoresPerSocket=${CPUS} ThreadsPerCore=1`;
    return [
      'ClusterName=proofs',
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

/** Ports that nobody listens on. */
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
