/** The process group of an MPI job. A worker thread makes the calls of MPI, which block. */

import os from 'node:os';
import { Worker } from 'node:worker_threads';
import { ConfigError, DistributedError } from '../common/errors.js';
import { WorkerClient } from '../common/worker-client.js';
import { LIBRARY_VARIABLE, checkConnection, libraryNames, type LaunchInfo } from './launcher.js';
import type { MpiRequest, MpiInfo } from './mpi-worker.js';
import type { ProcessGroup, Summable } from './process-group.js';

/** Environment variable: seconds for which a rank waits for the others in a collective. */
const TIMEOUT_VARIABLE = 'ORT_FINETUNE_MPI_TIMEOUT';
const DEFAULT_TIMEOUT = 300;
/** Milliseconds that MPI_Abort may take before this process kills itself. */
const ABORT_PATIENCE = 3000;
/**
 * Milliseconds for which a rank that was told to stop waits for the others, at least. Slurm kills it 30 s after the
 * signal (KillWait), and it should be gone with a message before.
 */
const STOP_PATIENCE = 10_000;
/** The others may take this many times as long as the longest wait before. */
const STOP_FACTOR = 2;

/**
 * Settings of UCX, the transport of many MPI libraries, for a process with several threads. To test its memory hooks,
 * UCX moves the end of the heap forth and back. Memory that another thread allocates meanwhile loses a page, and the
 * process crashes later (seen with Debian's MPICH 4.0.2 and UCX 1.13, in one of 13 runs; openucx/ucx#3831). UCX's signal
 * handler then waits for a lock that the crashed thread holds, so the job hangs.
 */
const UCX_SETTINGS: Readonly<Record<string, string>> = {
  UCX_MEM_EVENTS: 'n',
  UCX_ERROR_SIGNALS: '',
};

/**
 * The ranks of an MPI job as a {@link ProcessGroup}.
 *
 * MPI lives as long as the process: it cannot be started again after its end. When the process has nothing left to do,
 * MPI is finalized if `abortOnExit` is false. If it is true, something has failed here that the other ranks do not
 * know of: the whole job is aborted with this process's exit code.
 */
export class MpiProcessGroup implements ProcessGroup {
  readonly rank: number;
  readonly size: number;
  readonly isMain: boolean;
  /** Name and version of the MPI library. */
  readonly backend: string;
  abortOnExit = true;
  #ended = false;

  private constructor(
    private readonly thread: MpiThread,
    { rank, size, version }: MpiInfo,
  ) {
    this.rank = rank;
    this.size = size;
    this.isMain = rank === 0;
    this.backend = version;
    process.on('beforeExit', () => {
      if (!this.#ended) void this.#end();
    });
  }

  /**
   * Starts MPI.
   *
   * @throws ConfigError if the launcher cannot be reached.
   * @throws DistributedError if MPI cannot be started, or if the library is not the launcher's, so that the ranks do not
   * see each other.
   */
  static async open(launch: LaunchInfo): Promise<MpiProcessGroup> {
    checkConnection();
    // Set here and not in the worker thread, whose environment is a copy that C does not see.
    for (const [name, value] of Object.entries(UCX_SETTINGS)) process.env[name] ??= value;
    const thread = new MpiThread(timeoutOf(process.env));
    const names = libraryNames(launch.launcher);
    const started = (await thread.request({ kind: 'start', names }).catch((error: unknown) => {
      // The thread hangs in MPI_Init. Only a signal ends a process with such a thread.
      if (thread.busy) process.on('beforeExit', () => process.kill(process.pid, 'SIGKILL'));
      throw error;
    })) as MpiInfo;
    // Made in either case: it aborts MPI when the process ends with an error.
    const group = new MpiProcessGroup(thread, started);
    if (started.size === launch.size) return group;
    throw new DistributedError(
      `expected the ${launch.size} ranks that the launcher (${launch.launcher}) started, found ${started.size} ` +
        `with ${started.version}, which is not the launcher's MPI; name the right library in ${LIBRARY_VARIABLE}`,
    );
  }

  get stop(): AbortSignal | undefined {
    return this.thread.stop;
  }

  set stop(signal: AbortSignal | undefined) {
    this.thread.stop = signal;
  }

  async allReduce<T extends Summable>(values: T): Promise<T> {
    return (await this.thread.request({ kind: 'sum', values })) as T;
  }

  async broadcast(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    const request: MpiRequest = { kind: 'broadcast', bytes, from: 0 };
    return (await this.thread.request(request)) as Uint8Array<ArrayBuffer>;
  }

  async allGather<T>(value: T): Promise<T[]> {
    const text = JSON.stringify(value);
    const texts = (await this.thread.request({ kind: 'gather', text })) as string[];
    return texts.map((one) => JSON.parse(one) as T);
  }

  async barrier(): Promise<void> {
    await this.thread.request({ kind: 'barrier' }, false);
  }

  async #end(): Promise<void> {
    this.#ended = true;
    if (!this.abortOnExit) {
      await this.barrier();
      await this.thread.request({ kind: 'finalize' }, false);
      await this.thread.close();
      return;
    }
    const code = Number(process.exitCode ?? 0) || 1;
    // A thread that waits for another rank takes no requests. The launcher ends the job when this process is killed.
    const kill = (): void => {
      process.kill(process.pid, this.thread.stoppedBy ?? 'SIGKILL');
    };
    if (this.thread.busy) kill();
    setTimeout(kill, ABORT_PATIENCE);
    await this.thread.request({ kind: 'abort', code }, false).catch(kill);
  }
}

/** Sends requests to the thread that owns MPI. They keep the process alive; the thread alone does not. */
class MpiThread {
  readonly #client = new WorkerClient<MpiRequest>(
    new Worker(new URL('./mpi-worker.js', import.meta.url)),
    'the MPI thread',
    'while-pending',
  );
  #stuck = false;
  /** Longest wait in a step so far in milliseconds. */
  #longest = 0;
  /** Asks this rank to stop. */
  stop: AbortSignal | undefined;

  /** @param timeout seconds. */
  constructor(private readonly timeout: number) {}

  /** Whether the thread waits inside MPI for ranks that did not come in time. */
  get busy(): boolean {
    return this.#stuck;
  }

  /** @param limited whether the request fails after the timeout. */
  request(request: MpiRequest, limited = true): Promise<unknown> {
    const transfer: ArrayBuffer[] = [];
    if (request.kind === 'sum') transfer.push(request.values.buffer as ArrayBuffer);
    if (request.kind === 'broadcast') transfer.push(request.bytes.buffer as ArrayBuffer);
    const answer = this.#client.request(request, transfer);
    return limited ? this.#inTime(answer, request.kind === 'sum') : answer;
  }

  /** Ends the thread. */
  async close(): Promise<void> {
    await this.#client.close();
  }

  /** @param isStep whether the ranks do equal work before, so that the wait tells how far apart they are. */
  async #inTime(answer: Promise<unknown>, isStep: boolean): Promise<unknown> {
    const began = performance.now();
    const timers: NodeJS.Timeout[] = [];
    const { stop } = this;
    let onStop = (): void => undefined;
    const late = new Promise<never>((_, reject) => {
      const rejectAfter = (milliseconds: number, error: () => DistributedError): void => {
        const giveUp = (): void => {
          this.#stuck = true;
          this.#client.unref();
          reject(error());
        };
        timers.push(setTimeout(giveUp, milliseconds));
      };
      rejectAfter(this.timeout * 1000, () => lateError(this.timeout));
      onStop = () => {
        const patience = Math.max(STOP_PATIENCE, STOP_FACTOR * this.#longest);
        rejectAfter(patience, () => lonelyError(String(stop?.reason), patience / 1000));
      };
      if (stop?.aborted === true) onStop();
      else stop?.addEventListener('abort', onStop, { once: true });
    });
    try {
      return await Promise.race([answer, late]);
    } finally {
      for (const timer of timers) clearTimeout(timer);
      stop?.removeEventListener('abort', onStop);
      if (isStep) this.#longest = Math.max(this.#longest, performance.now() - began);
    }
  }

  /** Signal that has told this process to stop; undefined if none has. */
  get stoppedBy(): NodeJS.Signals | undefined {
    const reason: unknown = this.stop?.aborted === true ? this.stop.reason : undefined;
    return typeof reason === 'string' && reason in os.constants.signals
      ? (reason as NodeJS.Signals)
      : undefined;
  }
}

function lateError(seconds: number): DistributedError {
  return new DistributedError(
    `expected all ranks to come together within ${seconds} s, and they did not: a rank hangs, ` +
      `or the network is down; resume once it works again, or give slow ranks more time ` +
      `(${TIMEOUT_VARIABLE}, in seconds)`,
  );
}

function lonelyError(reason: string, seconds: number): DistributedError {
  return new DistributedError(
    `expected the other ranks to come to the end of the step within ${seconds.toFixed(0)} s after ${reason}, and they ` +
      'did not: a rank has ended or hangs; no checkpoint was written here, resume from the last one with --resume',
  );
}

function timeoutOf(env: Readonly<Record<string, string | undefined>>): number {
  const text = env[TIMEOUT_VARIABLE] ?? '';
  const seconds = text === '' ? DEFAULT_TIMEOUT : Number(text);
  if (seconds > 0 && seconds <= 86_400) return seconds;
  throw new ConfigError(
    `expected ${TIMEOUT_VARIABLE} to be seconds from 1 to 86400, got ${text}; the default is ${DEFAULT_TIMEOUT}`,
  );
}
