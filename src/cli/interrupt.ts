/**
 * Ctrl-C, termination, and a terminal that closes: the first signal asks a long command to stop, the second ends the
 * process.
 */

import { constants } from 'node:os';
import type { TrainEvent } from '../common/events.js';
import { hangupIgnored } from './hangup.js';
import type { Output } from './output/output.js';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
type StopSignal = (typeof SIGNALS)[number];

/** Thrown when a signal has ended a command: not an error, but not a success either. */
export class Stopped extends Error {
  constructor(readonly exitCode: number) {
    super('stopped by a signal');
  }
}

/** Options through which the work reports events and is stopped. */
export interface RunHooks {
  readonly signal: AbortSignal;
  readonly onEvent: (event: TrainEvent) => void;
}

export interface InterruptibleWork<T> {
  /** Says what the first signal brings, for example `stopping after this step`. */
  readonly consequence: string;
  readonly run: (hooks: RunHooks) => Promise<T>;
  /** Returns whether an error of `run` means that it stopped as asked. */
  readonly isStop: (error: unknown, signal: AbortSignal) => boolean;
}

/**
 * Shows the events of the work, and asks it to stop at the first signal.
 *
 * @throws Stopped if the work stopped as asked.
 */
export async function runInterruptible<T>(
  { listener, warn }: Output,
  { consequence, run, isStop }: InterruptibleWork<T>,
): Promise<T> {
  const stop = new StopListener((name) => {
    listener.clear();
    warn(`${name}: ${consequence}; once more stops at once`);
  });
  stop.listen();
  const { signal } = stop;
  try {
    const onEvent = (event: TrainEvent): void => {
      listener.handle(event);
    };
    return await run({ signal, onEvent });
  } catch (error) {
    if (!isStop(error, signal)) throw error;
    throw new Stopped(stop.exitCode ?? 1);
  } finally {
    listener.clear();
    stop.dispose();
  }
}

/** Listens for signals from {@link StopListener.listen} to {@link StopListener.dispose}. */
class StopListener {
  readonly #controller = new AbortController();
  readonly #handlers = SIGNALS.filter((name) => name !== 'SIGHUP' || !hangupIgnored()).map(
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

  /** Aborts at the first signal. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Exit code that a shell reports for a process ended by the signal: 130, 143 or 129; null without one. */
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
    // Not process.exit: it waits for a thread inside ONNX Runtime and then aborts. Without handlers
    // the operating system ends the process at once.
    this.dispose();
    process.kill(process.pid, name);
  }
}
