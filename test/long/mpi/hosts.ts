/**
 * Imitates two hosts on one machine: network namespaces with host names and addresses of their own, joined by a veth
 * pair. Each host sees its own folder (`1` or `2`) as `here`. It can read that and the folder `shared`, but not write.
 */

import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Launcher } from '../../support/mpi-job.js';
import { whyNotWith } from '../checks.js';

const NETWORK = '10.89.0';
const TOOLS = ['ip', 'unshare', 'mount', 'hostname', 'mpirun.openmpi', 'mpirun.mpich'];
/** Milliseconds between two tests whether the link is up. */
const PATIENCE = 20;

/** Shell script `enter N COMMAND…`: runs a command on host N. */
const ENTER = `#!/bin/sh
host=$1; shift
exec ip netns exec "PREFIX-$host" unshare --uts --mount sh -c '
  share() { mount --bind "$1" "$2" && mount -o remount,ro,bind "$2"; }
  hostname "host-$0" && share "FOLDER/$0" FOLDER/here && share FOLDER/shared FOLDER/shared && exec "$@"
' "$host" "$@"
`;

/** Stands in for ssh: `agent ADDRESS WORD…`, as Open MPI's plm_rsh_agent and Hydra's launcher-exec are called. */
const AGENT = `#!/bin/sh
while [ "$1" != "\${1#-}" ]; do shift; done
host=\${1##*.}; shift
exec env -i PATH="$PATH" HOME="$HOME" FOLDER/enter "$host" sh -c "$*"
`;

function ip(...words: string[]): void {
  execFileSync('ip', words, { stdio: ['ignore', 'ignore', 'pipe'] });
}

export class Hosts {
  private constructor(
    /** Folder to which the hosts may write, except its parts `here` and `shared`. */
    readonly folder: string,
    private readonly prefix: string,
  ) {}

  /** Returns why this machine cannot have such hosts, or null if it can. */
  static whyNot(): string | null {
    if (process.getuid?.() !== 0) return 'needs root, to make network namespaces';
    return whyNotWith(TOOLS, 'iproute2, util-linux, hostname, openmpi-bin, mpich');
  }

  static async create(): Promise<Hosts> {
    const folder = await mkdtemp(path.join(tmpdir(), 'hosts-'));
    const hosts = new Hosts(folder, path.basename(folder));
    for (const name of ['1', '2', 'here', 'shared']) await mkdir(path.join(folder, name));
    for (const [name, text] of [
      ['enter', ENTER],
      ['agent', AGENT],
    ] as const) {
      const file = path.join(folder, name);
      await writeFile(file, text.replaceAll('FOLDER', folder).replaceAll('PREFIX', hosts.prefix));
      await chmod(file, 0o755);
    }
    for (const host of [1, 2]) ip('netns', 'add', hosts.#namespace(host));
    const [one, two] = [hosts.#namespace(1), hosts.#namespace(2)];
    ip('link', 'add', 'eth0', 'netns', one, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', two);
    for (const host of [1, 2]) {
      ip('-n', hosts.#namespace(host), 'addr', 'add', `${NETWORK}.${host}/24`, 'dev', 'eth0');
      for (const device of ['lo', 'eth0']) {
        ip('-n', hosts.#namespace(host), 'link', 'set', device, 'up');
      }
    }
    // Until the link is up, UCX reports that the device does not exist.
    while (!hosts.#connected()) await setTimeout(PATIENCE);
    return hosts;
  }

  async remove(): Promise<void> {
    for (const host of [1, 2]) ip('netns', 'del', this.#namespace(host));
    await rm(this.folder, { recursive: true });
  }

  /** Returns a path in the folder that `host` alone has. */
  own(host: 1 | 2, ...parts: string[]): string {
    return path.join(this.folder, String(host), ...parts);
  }

  /** Returns a path in the folder that both hosts read. */
  shared(...parts: string[]): string {
    return path.join(this.folder, 'shared', ...parts);
  }

  /** Returns a path in a host's own folder, as that host sees it. */
  here(...parts: string[]): string {
    return path.join(this.folder, 'here', ...parts);
  }

  /**
   * Returns Open MPI's `mpirun` on host 1. By keepalive packets it notices within 6 s that a host is out of reach.
   *
   * @param each ranks per host.
   * @param passed names of the environment variables that are passed to the other host.
   */
  openMpi(each: number, passed: readonly string[]): Launcher {
    return {
      name: 'Open MPI',
      command: path.join(this.folder, 'enter'),
      words: [
        ...['1', 'mpirun.openmpi', '--bind-to', 'none', '--host', addresses(each)],
        ...passed.flatMap((name) => ['-x', name]),
        ...['--mca', 'plm_rsh_agent', path.join(this.folder, 'agent')],
        ...['--mca', 'oob_tcp_keepalive_time', '3', '--mca', 'oob_tcp_keepalive_intvl', '1'],
        ...['--mca', 'oob_tcp_keepalive_probes', '3', '--mca', 'mpi_yield_when_idle', '1'],
      ],
    };
  }

  /** Returns MPICH's `mpirun`, which passes the whole environment. It must use TCP, not this machine's memory. */
  mpich(each: number): Launcher {
    return {
      name: 'MPICH',
      command: path.join(this.folder, 'enter'),
      words: [
        ...['1', 'mpirun.mpich', '-hosts', addresses(each), '-iface', 'eth0'],
        ...['-launcher', 'ssh', '-launcher-exec', path.join(this.folder, 'agent')],
        ...['-env', 'UCX_TLS', 'tcp,self', '-env', 'UCX_NET_DEVICES', 'eth0'],
      ],
    };
  }

  /** Cuts the link between the hosts, or restores it. */
  link(state: 'up' | 'down'): void {
    ip('-n', this.#namespace(2), 'link', 'set', 'eth0', state);
  }

  /** Limits what each host sends. @param megabits rate in megabits per second. */
  slowDown(megabits: number): void {
    for (const host of [1, 2]) {
      const shaper = ['tbf', 'rate', `${megabits}mbit`, 'burst', '1mb', 'latency', '50ms'];
      const words = ['qdisc', 'replace', 'dev', 'eth0', 'root', ...shaper];
      execFileSync('tc', ['-n', this.#namespace(host), ...words], { stdio: 'ignore' });
    }
  }

  #connected(): boolean {
    return [1, 2].every((host) => {
      const words = ['-n', this.#namespace(host), 'link', 'show', 'eth0'];
      return execFileSync('ip', words, { encoding: 'utf8' }).includes('state UP');
    });
  }

  #namespace(host: number): string {
    return `${this.prefix}-${host}`;
  }
}

function addresses(each: number): string {
  return [1, 2].map((host) => `${NETWORK}.${host}:${each}`).join(',');
}
