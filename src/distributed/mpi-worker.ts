/**
 * The thread that owns MPI. MPI's calls block until the other ranks have made theirs; in this thread they block
 * nothing else. MPI lets only the thread that started it call it (MPI_THREAD_FUNNELED).
 */

import { parentPort } from 'node:worker_threads';
import { serveRequests, type Answer } from '../common/worker-client.js';
import { Mpi } from './mpi.js';
import type { Summable } from './process-group.js';

/** One request. Collectives are carried out in the order they were asked for. */
export type MpiRequest =
  | { kind: 'start'; names: readonly string[] }
  | { kind: 'sum'; values: Summable }
  | { kind: 'broadcast'; bytes: Uint8Array; from: number }
  | { kind: 'gather'; text: string }
  | { kind: 'barrier' }
  | { kind: 'abort'; code: number }
  | { kind: 'finalize' };

/** Answer to `start`. */
export interface MpiInfo {
  readonly rank: number;
  readonly size: number;
  readonly version: string;
}

if (parentPort === null) throw new Error('mpi-worker must run as a worker thread');

let mpi: Mpi | null = null;

function started(): Mpi {
  if (mpi === null) throw new Error('MPI is not started');
  return mpi;
}

function start(names: readonly string[]): MpiInfo {
  mpi = Mpi.start(names);
  const { rank, size, version } = mpi;
  return { rank, size, version };
}

/** Gives an array to the caller without a copy. */
function given(value: Summable | Uint8Array): Answer {
  return { value, transfer: [value.buffer as ArrayBuffer] };
}

function handle(request: MpiRequest): Answer {
  switch (request.kind) {
    case 'start':
      return { value: start(request.names) };
    case 'sum':
      started().sum(request.values);
      return given(request.values);
    case 'broadcast':
      started().broadcast(request.bytes, request.from);
      return given(request.bytes);
    case 'gather':
      return { value: started().gather(request.text) };
    case 'barrier':
      started().barrier();
      return { value: null };
    case 'abort':
      started().abort(request.code);
      return { value: null };
    case 'finalize':
      started().finalize();
      return { value: null };
  }
}

serveRequests(parentPort, { handle });
