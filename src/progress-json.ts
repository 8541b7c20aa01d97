/** Progress for programs: each event of a run as one line of JSON. */

import type { TrainEvent } from './events.js';
import type { Output } from './progress.js';

/** Milliseconds between two `step` or `fetch` events; the last one of a pass is always shown. */
const INTERVAL = 1000;

/** Takes the place of `Progress`: the events as they are (events.ts), the frequent ones thinned out. */
export class JsonProgress {
  #shownAt = -Infinity;

  /** @param now milliseconds on any clock that does not go back. */
  constructor(
    private readonly output: Output,
    private readonly now: () => number = () => performance.now(),
  ) {}

  handle(event: TrainEvent): void {
    const frequent = event.type === 'step' || event.type === 'fetch';
    const last = event.type === 'step' && event.batch === event.batches;
    if (frequent && !last && this.now() - this.#shownAt < INTERVAL) return;
    if (frequent) this.#shownAt = this.now();
    this.output.write(`${JSON.stringify(event)}\n`);
  }

  /** There is never a live line to remove. */
  clear(): void {
    return;
  }
}
