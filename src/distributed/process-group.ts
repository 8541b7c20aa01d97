/**
 * The processes that train together, as `torch.distributed` calls them. A process group knows numbers and bytes; it
 * knows nothing of the trainer, which takes the same steps in one process and on several ranks.
 */

/** Numbers that processes can add up. */
export type Summable = Float32Array | Float64Array | BigInt64Array;

/** The processes of a job. Its methods are collective: all ranks call the same ones, in the same order. */
export interface ProcessGroup {
  readonly rank: number;
  /** Number of ranks. */
  readonly size: number;
  /** True on rank 0, the only rank that prints and writes files. */
  readonly isMain: boolean;
  /** Name and version of the library that connects the ranks. */
  readonly backend: string;
  /** Whether the exit of this process ends the whole job. Set to false once the other ranks end by themselves. */
  abortOnExit: boolean;
  /**
   * Asks this rank to stop. Once it is aborted, a collective in which the other ranks do not arrive ends soon: they may
   * be gone. Undefined if nothing can stop the rank.
   */
  stop: AbortSignal | undefined;
  /** Returns the sums of `values` over the ranks, the same bits on each. Gives the buffer of `values` away. */
  allReduce<T extends Summable>(values: T): Promise<T>;
  /** Returns the bytes of rank 0. `bytes` is given away; it must have the same length on every rank. */
  broadcast(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>>;
  /** Returns the values of all ranks, by rank. They are small, and JSON can hold them. */
  allGather<T>(value: T): Promise<T[]>;
  /** Waits for all ranks, without a time limit. */
  barrier(): Promise<void>;
}

/** A process that trains alone: every collective returns what it is given. */
export const SINGLE_PROCESS: ProcessGroup = {
  rank: 0,
  size: 1,
  isMain: true,
  backend: 'none',
  abortOnExit: false,
  stop: undefined,
  allReduce: (values) => Promise.resolve(values),
  broadcast: (bytes) => Promise.resolve(bytes),
  allGather: (value) => Promise.resolve([value]),
  barrier: () => Promise.resolve(),
};
