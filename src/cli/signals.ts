/** Ctrl-C and termination: the first one asks the run to stop, the second one ends the process. */

import { constants } from 'node:os';

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;
export type StopSignal = (typeof SIGNALS)[number];

/** Listens for signals from {@link StopListener.listen} to {@link StopListener.dispose}. */
export class StopListener {
  readonly #controller = new AbortController();
  readonly #handlers = SIGNALS.map(
    (name) =>
      [
        name,
        () => {
          this.#receive(name);
        },
      ] as const,
  );
  #received: StopSignal | null = null;

  /** @param onFirst called with the first signal. */
  constructor(private readonly onFirst: (name: StopSignal) => void) {}

  /** Aborts with the first signal. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** What a shell makes of a process that the signal ended: 130 or 143; null without one. */
  get exitCode(): number | null {
    return this.#received === null ? null : 128 + constants.signals[this.#received];
  }

  listen(): void {
    for (const [name, handler] of this.#handlers) process.on(name, handler);
  }

  dispose(): void {
    for (const [name, handler] of this.#handlers) process.off(name, handler);
  }

  #receive(name: StopSignal): void {
    if (this.#received === null) {
      this.#received = name;
      this.onFirst(name);
      this.#controller.abort(name);
      return;
    }
    // Not process.exit, which waits for a thread that is inside the runtime and then aborts: without
    // handlers the system ends the process, at once.
    this.dispose();
    process.kill(process.pid, name);
  }
}
