/** How a command that takes long is stopped by a signal. */

import type { Output } from './output.js';
import type { TrainEvent } from '../common/events.js';
import { StopListener } from './signals.js';

/** A signal has ended a command: no error, but no success either. */
export class Stopped extends Error {
  constructor(readonly exitCode: number) {
    super('stopped by a signal');
  }
}

/** What the work is given to be shown and stopped by. */
export interface RunHooks {
  readonly signal: AbortSignal;
  readonly onEvent: (event: TrainEvent) => void;
}

/**
 * Shows the events of `work`, and asks it to stop with the first signal.
 *
 * @param consequence what that brings, for the user.
 * @param isStop whether an error of `work` means that it stopped as asked.
 * @throws Stopped if it did.
 */
export async function runInterruptible<T>(
  { listener, warn }: Output,
  consequence: string,
  work: (reins: RunHooks) => Promise<T>,
  isStop: (error: unknown, signal: AbortSignal) => boolean,
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
    return await work({ signal, onEvent });
  } catch (error) {
    if (!isStop(error, signal)) throw error;
    throw new Stopped(stop.exitCode ?? 1);
  } finally {
    listener.clear();
    stop.dispose();
  }
}
