/**
 * The thread that owns MPI. Its calls block until other ranks have made theirs; here that blocks nobody.
 * MPI allows one thread, the one that started it, to call it (MPI_THREAD_FUNNELED): this one.
 */

import { parentPort } from 'node:worker_threads';
import { DistributedError } from '../common/errors.js';
import { Mpi } from './mpi.js';
import type { Summable } from './process-group.js';

export type MpiRequest =
  | { kind: 'start'; names: readonly string[] }
  | { kind: 'sum'; values: Summable }
  | { kind: 'broadcast'; bytes: Uint8Array; from: number }
  | { kind: 'gather'; text: string }
  | { kind: 'barrier' }
  | { kind: 'abort'; code: number }
  | { kind: 'finalize' };

export interface MpiInfo {
  readonly rank: number;
  readonly size: number;
  readonly version: string;
}

type Value = MpiInfo | Summable | Uint8Array | string[] | null;

/** Answers come in the order of the requests. */
export type MpiReply = { value: Value } | { error: string; typed: boolean };

const port = parentPort;
if (port === null) throw new Error('mpi-worker must run as a worker thread');

let mpi: Mpi | null = null;

function started(): Mpi {
  if (mpi === null) throw new Error('MPI is not started');
  return mpi;
}

async function handle(request: MpiRequest): Promise<Value> {
  switch (request.kind) {
    case 'start': {
      mpi = await Mpi.start(request.names);
      const { rank, size, version } = mpi;
      return { rank, size, version };
    }
    case 'sum':
      started().sum(request.values);
      return request.values;
    case 'broadcast':
      started().broadcast(request.bytes, request.from);
      return request.bytes;
    case 'gather':
      return started().gather(request.text);
    case 'barrier':
      started().barrier();
      return null;
    case 'abort':
      started().abort(request.code);
      return null;
    case 'finalize':
      started().finalize();
      return null;
  }
}

// One request at a time: a collective must not overtake another.
let queue = Promise.resolve();
port.on('message', (request: MpiRequest) => {
  queue = queue.then(async () => {
    let reply: MpiReply;
    const transfer: ArrayBuffer[] = [];
    try {
      const value = await handle(request);
      if (ArrayBuffer.isView(value)) transfer.push(value.buffer as ArrayBuffer);
      reply = { value };
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      reply = { error: message, typed: error instanceof DistributedError };
    }
    port.postMessage(reply, transfer);
    if (request.kind === 'finalize') port.close();
  });
});
