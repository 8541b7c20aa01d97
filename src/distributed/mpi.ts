/**
 * Calls the few functions of MPI that data-parallel training needs, in a `libmpi` through koffi.
 *
 * MPI fixes names and meanings but not the binary interface. Open MPI's handles are addresses of symbols
 * of the library. The handles of MPICH, and of libraries compatible with it, are 32-bit numbers.
 */

import { loadKoffi, type Library } from '../common/node/native-library.js';
import { DistributedError } from '../common/errors.js';
import { messageOf } from '../common/format.js';
import type { Summable } from './process-group.js';

type Handle = bigint | number;

interface Interface {
  /** C type of a handle. */
  readonly type: 'void *' | 'int';
  /** MPI_IN_PLACE: the pointer that says the receive buffer also holds the values to send. */
  readonly inPlace: bigint;
  readonly world: Handle;
  readonly sum: Handle;
  readonly max: Handle;
  readonly byte: Handle;
  readonly float32: Handle;
  readonly float64: Handle;
  readonly int64: Handle;
  readonly errorsReturn: Handle;
}

function openMpi(library: Library): Interface {
  const symbol = (name: string): bigint => library.symbol(`ompi_mpi_${name}`) as bigint;
  return {
    type: 'void *',
    inPlace: 1n,
    world: symbol('comm_world'),
    sum: symbol('op_sum'),
    max: symbol('op_max'),
    byte: symbol('byte'),
    float32: symbol('float'),
    float64: symbol('double'),
    int64: symbol('int64_t'),
    errorsReturn: symbol('errors_return'),
  };
}

/** Handles of the MPICH ABI (mpi.h of MPICH 3.1 and later). */
const MPICH: Interface = {
  type: 'int',
  inPlace: 0xffff_ffff_ffff_ffffn,
  world: 0x4400_0000,
  sum: 0x5800_0003,
  max: 0x5800_0001,
  byte: 0x4c00_010d,
  float32: 0x4c00_040a,
  float64: 0x4c00_080b,
  int64: 0x4c00_083a,
  errorsReturn: 0x5400_0001,
};

function interfaceOf(library: Library): Interface {
  try {
    return openMpi(library);
  } catch {
    return MPICH;
  }
}

/** Thread level of MPI: only the thread that started MPI calls it. */
const THREAD_FUNNELED = 1;
const MAX_ERROR_STRING = 512;
const MAX_VERSION_STRING = 8192;
/** Milliseconds between two checks whether the other ranks have reached the barrier. */
const PATIENCE = 5;
/**
 * Milliseconds between the last message and MPI_Finalize. Right after a barrier, MPI_Finalize of MPICH 4.0.2 over TCP
 * (UCX 1.13) sometimes never returns, in C programs, too. After a pause it does.
 */
const QUIET = 100;

type Function = (...values: unknown[]) => number;

/** MPI after its start. Apart from `abort`, its methods are collective: all ranks call them, in the same order. */
export class Mpi {
  readonly rank: number;
  readonly size: number;
  /** First line of MPI_Get_library_version. */
  readonly version: string;
  readonly #functions: Map<string, Function>;

  private constructor(
    private readonly handles: Interface,
    functions: Map<string, Function>,
  ) {
    this.#functions = functions;
    const level = new Int32Array(1);
    this.#call('MPI_Init_thread', null, null, THREAD_FUNNELED, level);
    this.#call('MPI_Comm_set_errhandler', handles.world, handles.errorsReturn);
    const number = new Int32Array(1);
    this.#call('MPI_Comm_rank', handles.world, number);
    this.rank = number[0] ?? 0;
    this.#call('MPI_Comm_size', handles.world, number);
    this.size = number[0] ?? 0;
    const text = new Uint8Array(MAX_VERSION_STRING);
    this.#call('MPI_Get_library_version', text, number);
    this.version = decode(text, number).split(/[\n,]/)[0] ?? '';
  }

  /**
   * Loads the first library of `names` that can be loaded, and starts MPI. A process can start MPI once.
   *
   * @throws DistributedError if koffi is not installed, or none of the libraries can be loaded.
   */
  static start(names: readonly string[]): Mpi {
    const koffi = requireKoffi();
    let library: Library | null = null;
    const reasons: string[] = [];
    for (const name of names) {
      try {
        // The plug-ins of Open MPI look for its symbols among the global ones.
        library ??= koffi.load(name, { global: true });
      } catch (error) {
        reasons.push(messageOf(error));
      }
    }
    if (library === null) {
      throw new DistributedError(
        `expected an MPI library (${names.join(', ')}), because an MPI launcher started this process, but: ` +
          `${reasons.join('; ')}; install it, or name it in ORT_FINETUNE_MPI`,
      );
    }
    const handles = interfaceOf(library);
    const { type } = handles;
    const signatures: Readonly<Record<string, readonly string[]>> = {
      MPI_Init_thread: ['void *', 'void *', 'int', 'void *'],
      MPI_Comm_set_errhandler: [type, type],
      MPI_Comm_rank: [type, 'void *'],
      MPI_Comm_size: [type, 'void *'],
      MPI_Get_library_version: ['void *', 'void *'],
      MPI_Error_string: ['int', 'void *', 'void *'],
      MPI_Allreduce: ['void *', 'void *', 'int', type, type, type],
      MPI_Allgather: ['void *', 'int', type, 'void *', 'int', type, type],
      MPI_Bcast: ['void *', 'int', type, 'int', type],
      MPI_Ibarrier: [type, 'void *'],
      MPI_Test: ['void *', 'void *', 'void *'],
      MPI_Abort: [type, 'int'],
      MPI_Finalize: [],
    };
    const functions = new Map<string, Function>();
    for (const [name, parameters] of Object.entries(signatures)) {
      functions.set(name, library.func(name, 'int', [...parameters]) as Function);
    }
    return new Mpi(handles, functions);
  }

  /** Replaces `values` by their sums over the ranks (MPI_Allreduce). */
  sum(values: Summable): void {
    const { inPlace, sum, world } = this.handles;
    const type = this.#typeOf(values);
    this.#call('MPI_Allreduce', inPlace, values, values.length, type, sum, world);
  }

  /** Replaces `bytes` by those of rank `from` (MPI_Bcast). The length must be the same on all ranks. */
  broadcast(bytes: Uint8Array, from: number): void {
    this.#call('MPI_Bcast', bytes, bytes.length, this.handles.byte, from, this.handles.world);
  }

  /** Returns the texts of all ranks, by rank (MPI_Allgather). Texts are padded to the longest, so they should be short. */
  gather(text: string): string[] {
    const { inPlace, max, int64, byte, world } = this.handles;
    const own = new TextEncoder().encode(text);
    const longest = BigInt64Array.of(BigInt(own.length));
    this.#call('MPI_Allreduce', inPlace, longest, 1, int64, max, world);
    const length = Number(longest[0] ?? 0n);
    const padded = new Uint8Array(length);
    padded.set(own);
    const all = new Uint8Array(length * this.size);
    this.#call('MPI_Allgather', padded, length, byte, all, length, byte, world);
    return Array.from({ length: this.size }, (_, rank) => {
      const part = all.subarray(rank * length, (rank + 1) * length);
      const end = part.indexOf(0);
      return new TextDecoder().decode(end < 0 ? part : part.subarray(0, end));
    });
  }

  /** Waits for all ranks without keeping a processor busy: it may take minutes. */
  barrier(): void {
    const request = new BigInt64Array(1);
    this.#call('MPI_Ibarrier', this.handles.world, request);
    const done = new Int32Array(1);
    // 64 bytes hold the MPI_Status of any library.
    const status = new Uint8Array(64);
    for (;;) {
      this.#call('MPI_Test', request, done, status);
      if (done[0] !== 0) return;
      pause(PATIENCE);
    }
  }

  /** Ends every process of the job, this one included, with the exit code `code` for the launcher. */
  abort(code: number): void {
    this.#call('MPI_Abort', this.handles.world, code);
  }

  /** Ends MPI, together with the other ranks. */
  finalize(): void {
    pause(QUIET);
    this.#call('MPI_Finalize');
  }

  #typeOf(values: Summable): Handle {
    const { float32, float64, int64 } = this.handles;
    if (values instanceof Float32Array) return float32;
    return values instanceof Float64Array ? float64 : int64;
  }

  #call(name: string, ...values: unknown[]): void {
    const code = this.#function(name)(...values);
    if (code === 0) return;
    const [text, length] = [new Uint8Array(MAX_ERROR_STRING), new Int32Array(1)];
    const known = this.#function('MPI_Error_string')(code, text, length) === 0;
    throw new DistributedError(
      `expected ${name} to succeed, got error ${code}${known ? `: ${decode(text, length)}` : ''}; ` +
        'another rank or the network has failed',
    );
  }

  #function(name: string): Function {
    const found = this.#functions.get(name);
    if (found === undefined) throw new Error(`${name} is not declared`);
    return found;
  }
}

function pause(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

function decode(text: Uint8Array, length: Int32Array): string {
  return new TextDecoder().decode(text.subarray(0, length[0])).replace(/\0.*$/s, '').trim();
}

function requireKoffi(): ReturnType<typeof loadKoffi> {
  try {
    return loadKoffi();
  } catch (cause) {
    throw new DistributedError(
      'expected the package koffi, which calls MPI, because an MPI launcher started this process, but it ' +
        `cannot be loaded (${String(cause)}); run "npm install koffi"`,
      { cause },
    );
  }
}
