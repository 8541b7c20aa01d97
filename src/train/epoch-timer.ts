/** How long an epoch takes, and how long ONNX Runtime waits for data in it. */

/** Wall time of an epoch, and the part of it in which the runtime had nothing to compute. */
export class EpochTimer {
  readonly #start: number;
  #idleSince: number | null;
  #waited: number;

  /** @param before times of the part of the epoch that is done already. */
  constructor(before = { seconds: 0, dataWaitSeconds: 0 }) {
    const now = performance.now();
    this.#idleSince = now;
    this.#start = now - before.seconds * 1000;
    this.#waited = before.dataWaitSeconds * 1000;
  }

  /** Times a computation: the wait for data ends when it starts, and the next one begins when it ends. */
  async compute<T>(work: () => Promise<T>): Promise<T> {
    this.dataReady();
    const result = await work();
    this.runtimeIdle();
    return result;
  }

  /** Counts the time since the runtime became idle as a wait for data. */
  dataReady(): void {
    if (this.#idleSince !== null) this.#waited += performance.now() - this.#idleSince;
    this.#idleSince = null;
  }

  /** Begins a wait for data. Called again, it leaves out the time in between. */
  runtimeIdle(): void {
    this.#idleSince = performance.now();
  }

  get seconds(): number {
    return (performance.now() - this.#start) / 1000;
  }

  get dataWaitSeconds(): number {
    return this.#waited / 1000;
  }
}
