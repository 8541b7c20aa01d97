import { expect, test } from '@jest/globals';
import { SINGLE_PROCESS } from '../../../src/distributed/process-group.js';
import { SharedStop } from '../../../src/distributed/shared-stop.js';
import { runRanks } from '../../support/memory-process-group.js';

test('a rank that is asked to stop stops all after the same all-reduce', async () => {
  const found = await runRanks(3, async (group) => {
    const own = new AbortController();
    const stop = new SharedStop(group, own.signal);
    const stops: boolean[] = [];
    for (let step = 0; step < 4; step++) {
      // Asked in the third step; its own signal alone does not stop it.
      if (step === 2 && group.rank === 1) own.abort('SIGTERM');
      stops.push(stop.signal?.aborted === true);
      expect(await stop.allReduce([step, group.rank])).toEqual([3 * step, 3]);
    }
    return { stops, reason: stop.signal?.reason as unknown };
  });
  const reason = 'a rank was asked to stop';
  expect(found.map(({ stops }) => stops)).toEqual(Array(3).fill([false, false, false, true]));
  expect(found.map((one) => one.reason)).toEqual([reason, 'SIGTERM', reason]);
});

test('a single process stops by its own signal, and sums nothing', async () => {
  const { signal } = new AbortController();
  const stop = new SharedStop(SINGLE_PROCESS, signal);
  expect(stop.signal).toBe(signal);
  expect(await stop.allReduce([1, 2])).toEqual([1, 2]);
  expect(new SharedStop(SINGLE_PROCESS, undefined).signal).toBeUndefined();
});
