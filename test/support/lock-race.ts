/** Takes a lock file as one of several processes do at once: `node lock-race.js FILE START`, START in ms since 1970. */

import { setTimeout as sleep } from 'node:timers/promises';
import { LockedError, LockFile } from '../../src/common/node/lock-file.js';

const [, , file = '', start = '0'] = process.argv;
await sleep(Math.max(0, Number(start) - Date.now()));
try {
  const lock = await LockFile.acquire(file);
  process.stdout.write(`won ${lock.before === undefined ? 'free' : 'stale'}\n`);
  // Keep it until all others have tried.
  process.stdin.resume();
  await new Promise((resolve) => process.stdin.once('end', resolve));
  await lock.release();
} catch (error) {
  if (!(error instanceof LockedError)) throw error;
  process.stdout.write(`lost to ${error.owner?.pid ?? 'unknown'}\n`);
}
