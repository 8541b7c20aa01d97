/** Which process is meant by a process id, though the system gives the same id to another process later. */

import { execFile } from 'node:child_process';
import { readFile, readlink } from 'node:fs/promises';
import os from 'node:os';
import { promisify } from 'node:util';
import { codeOf } from '../format.js';

/** A process of this or another machine. */
export interface ProcessIdentity {
  /** Name of the machine. */
  readonly host: string;
  readonly pid: number;
  /** Start of the process, as the system writes it; null where that is not known (Windows: the pid alone counts). */
  readonly started: string | null;
  /** Namespace of the pid: containers of one host name may have different ones. Null where there are none. */
  readonly namespace: string | null;
}

/** Returns the identity of this process. */
export async function thisProcess(): Promise<ProcessIdentity> {
  const found = await processState(process.pid);
  return { ...machine(await pidNamespace()), pid: process.pid, started: found?.started ?? null };
}

function machine(namespace: string | null): Pick<ProcessIdentity, 'host' | 'namespace'> {
  return { host: os.hostname(), namespace };
}

/** Returns whether this process can tell if the other one runs: it is on the same machine and sees the same pids. */
export function isOnThisMachine(
  other: Pick<ProcessIdentity, 'host' | 'namespace'>,
  own: Pick<ProcessIdentity, 'host' | 'namespace'>,
): boolean {
  return other.host === own.host && other.namespace === own.namespace;
}

/** Returns whether a process of this machine runs: one of that pid and start, which has not ended. */
export async function isRunning({
  pid,
  started,
}: Pick<ProcessIdentity, 'pid' | 'started'>): Promise<boolean> {
  if (!answers(pid)) return false;
  const found = await processState(pid);
  // Hidden from this user, or gone in this moment.
  if (found === null) return answers(pid);
  return !found.ended && (started === null || found.started === started);
}

function answers(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // The process of another user exists, but takes no signal from this one.
    return codeOf(error) === 'EPERM';
  }
}

interface ProcessState {
  readonly started: string;
  /** True if the process has ended and its parent has not asked for its exit code. */
  readonly ended: boolean;
}

async function processState(pid: number): Promise<ProcessState | null> {
  if (process.platform === 'win32') return null;
  try {
    return process.platform === 'linux' ? await stateFromProc(pid) : await stateFromPs(pid);
  } catch {
    return null;
  }
}

/** Position of the start time (field 22 of proc(5)) among the fields after the name. */
const START_FIELD = 19;

async function stateFromProc(pid: number): Promise<ProcessState | null> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8');
  // The name in brackets may hold spaces and brackets.
  const [state = '', ...rest] = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const started = rest[START_FIELD - 1];
  return started === undefined ? null : { started, ended: 'ZX'.includes(state) };
}

async function stateFromPs(pid: number): Promise<ProcessState | null> {
  const words = ['-o', 'stat=,lstart=', '-p', String(pid)];
  // The text must not depend on who asks.
  const env = { ...process.env, LC_ALL: 'C', TZ: 'UTC' };
  const { stdout } = await promisify(execFile)('ps', words, { env });
  const [, state = '', started] = /^\s*(\S+)\s+(.*\S)/.exec(stdout) ?? [];
  return started === undefined ? null : { started, ended: state.startsWith('Z') };
}

async function pidNamespace(): Promise<string | null> {
  if (process.platform !== 'linux') return null;
  return readlink('/proc/self/ns/pid').catch(() => null);
}
