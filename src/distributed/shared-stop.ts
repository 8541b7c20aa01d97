/** A stop that all ranks see after the same step, whichever of them was asked to stop. */

import type { ProcessGroup } from './process-group.js';

/**
 * Passes an abort signal on to all ranks. A rank that saw it alone would leave the others waiting in the next
 * collective, so the request travels with an all-reduce that takes place after every step.
 */
export class SharedStop {
  /**
   * Aborts on all ranks after the same all-reduce. In a process that trains alone it is the signal of this process.
   */
  readonly signal: AbortSignal | undefined;
  readonly #stop = new AbortController();

  /** @param own asks this rank to stop. */
  constructor(
    private readonly group: ProcessGroup,
    private readonly own: AbortSignal | undefined,
  ) {
    this.signal = group.size === 1 ? own : this.#stop.signal;
    if (group.size > 1) group.stop = own;
  }

  /** Returns the sums of a few numbers over the ranks. Afterwards `signal` is aborted if a rank was asked to stop. */
  async allReduce(values: readonly number[]): Promise<number[]> {
    if (this.group.size === 1) return [...values];
    const request = this.own?.aborted === true ? 1 : 0;
    const sums = await this.group.allReduce(Float64Array.of(...values, request));
    if ((sums.at(-1) ?? 0) > 0) this.#stop.abort(this.own?.reason ?? 'a rank was asked to stop');
    return [...sums.subarray(0, -1)];
  }
}
