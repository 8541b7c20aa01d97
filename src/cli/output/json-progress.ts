/** Progress for programs: each event of a run as one line of JSON. */

import type { TrainEvent } from '../../common/events.js';
import { jsonLine } from '../../common/text.js';
import type { TextStream } from './progress.js';

/** Milliseconds between two events of progress; the last `step` of a pass is always shown. */
const INTERVAL = 1000;
const FREQUENT: readonly TrainEvent['type'][] = ['step', 'fetch', 'preflight'];

/** Takes the place of `Progress`: the events as they are (events.ts), the frequent ones thinned out. */
export class JsonProgress {
  #shownAt = -Infinity;

  /** @param now milliseconds on any clock that does not go back. */
  constructor(
    private readonly output: TextStream,
    private readonly now: () => number = () => performance.now(),
  ) {}

  handle(event: TrainEvent): void {
    const frequent = FREQUENT.includes(event.type);
    const last = event.type === 'step' && event.batch === event.batches;
    if (frequent && !last && this.now() - this.#shownAt < INTERVAL) return;
    if (frequent) this.#shownAt = this.now();
    this.output.write(`${jsonLine(event)}\n`);
  }

  /** There is never a live line to remove. */
  clear(): void {
    return;
  }
}
