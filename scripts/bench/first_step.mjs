/**
 * Loaded before the command line (`node --import`). When the first training step is about to begin, prints the
 * time in seconds since 1970 and ends the process.
 */

import { isMainThread } from 'node:worker_threads';

if (isMainThread && /run\.mjs$/.test(process.argv[1] ?? '')) {
  // Not internal.js, which loads everything: that would be part of the measured time.
  const { TrainSession } = await import('../../dist/src/session/train-session.js');
  TrainSession.prototype.step = function () {
    process.stdout.write(`\nfirst step at ${Date.now() / 1000}\n`, () => {
      process.kill(process.pid, 'SIGKILL');
    });
    return new Promise(() => undefined);
  };
}
