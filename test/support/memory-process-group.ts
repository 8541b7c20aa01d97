/** A process group whose ranks are concurrent promises of one process: the distributed path of the trainer without MPI. */

import type { ProcessGroup, Summable } from '../../src/distributed/process-group.js';

/** One collective: which one it is, what the ranks gave so far, and how each of them is answered. */
interface Collective {
  readonly kind: string;
  readonly given: unknown[];
  readonly answers: {
    resolve: (values: unknown[]) => void;
    reject: (error: Error) => void;
  }[];
}

/** The place where the ranks meet. */
class Exchange {
  /** Collectives that some ranks have called and others have not, by their number. */
  readonly #open = new Map<number, Collective>();
  #failure: Error | null = null;

  constructor(private readonly size: number) {}

  /** Returns what all ranks gave, by rank, once the last of them has come. */
  meet(number: number, kind: string, value: unknown): Promise<unknown[]> {
    if (this.#failure !== null) return Promise.reject(this.#failure);
    const collective = this.#open.get(number) ?? { kind, given: [], answers: [] };
    this.#open.set(number, collective);
    if (collective.kind !== kind) {
      return Promise.reject(new Error(`expected ${collective.kind} on all ranks, got ${kind}`));
    }
    return new Promise((resolve, reject) => {
      collective.answers.push({ resolve, reject });
      collective.given.push(value);
      if (collective.given.length < this.size) return;
      this.#open.delete(number);
      for (const answer of collective.answers) answer.resolve(collective.given);
    });
  }

  /** Ends all that wait, as the end of a job does. */
  fail(error: Error): void {
    this.#failure ??= error;
    for (const { answers } of this.#open.values()) {
      for (const { reject } of answers) reject(error);
    }
  }
}

/** One rank. Values are copied on their way, as between processes. */
class MemoryProcessGroup implements ProcessGroup {
  readonly isMain: boolean;
  readonly backend = 'memory';
  abortOnExit = true;
  stop: AbortSignal | undefined;
  #calls = 0;

  constructor(
    private readonly exchange: Exchange,
    readonly rank: number,
    readonly size: number,
  ) {
    this.isMain = rank === 0;
  }

  async allReduce<T extends Summable>(values: T): Promise<T> {
    const all = (await this.#meet('allReduce', values)) as Float64Array[];
    const [first = new Float64Array(), ...others] = all;
    const sums = first.slice();
    for (const other of others) {
      if (other.length !== sums.length) throw new Error('expected as many values on all ranks');
      for (let i = 0; i < sums.length; i++) sums[i] = add(sums[i], other[i]);
    }
    return sums as Summable as T;
  }

  async broadcast(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    const all = (await this.#meet('broadcast', bytes)) as Uint8Array<ArrayBuffer>[];
    if (all.some(({ length }) => length !== bytes.length)) {
      throw new Error('expected as many bytes on all ranks');
    }
    return (all[0] ?? bytes).slice();
  }

  async allGather<T>(value: T): Promise<T[]> {
    const all = (await this.#meet('allGather', JSON.stringify(value))) as string[];
    return all.map((text) => JSON.parse(text) as T);
  }

  async barrier(): Promise<void> {
    await this.#meet('barrier', null);
  }

  /** Returns what the ranks gave, by rank. */
  async #meet(kind: string, value: unknown): Promise<unknown[]> {
    const all = await this.exchange.meet(this.#calls++, kind, { rank: this.rank, value });
    const ordered = (all as { rank: number; value: unknown }[]).toSorted((a, b) => a.rank - b.rank);
    return ordered.map((one) => one.value);
  }
}

/** Adds numbers or bigints, which a type of all three arrays cannot say. */
function add<T extends number | bigint>(a: T | undefined, b: T | undefined): T {
  return ((a as number) + (b as number)) as T;
}

/**
 * Runs `work` on `size` ranks at once. If a rank fails, the others fail with the same error, as a job that is aborted.
 *
 * @returns the results by rank.
 */
export async function runRanks<T>(
  size: number,
  work: (group: ProcessGroup) => Promise<T>,
): Promise<T[]> {
  const outcomes = await settleRanks(size, work);
  return outcomes.map((outcome) => {
    if (outcome.status === 'rejected') throw outcome.reason;
    return outcome.value;
  });
}

/** Runs `work` on `size` ranks at once and returns how it ended on each. */
export async function settleRanks<T>(
  size: number,
  work: (group: ProcessGroup) => Promise<T>,
): Promise<PromiseSettledResult<T>[]> {
  const exchange = new Exchange(size);
  return Promise.allSettled(
    Array.from({ length: size }, async (_, rank) => {
      const group = new MemoryProcessGroup(exchange, rank, size);
      try {
        return await work(group);
      } catch (error) {
        exchange.fail(error instanceof Error ? error : new Error(String(error)));
        throw error;
      }
    }),
  );
}
