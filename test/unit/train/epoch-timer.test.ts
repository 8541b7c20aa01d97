import { expect, test } from '@jest/globals';
import { EpochTimer } from '../../../src/train/epoch-timer.js';

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

test('data wait is the time in which the runtime was idle', async () => {
  const clock = new EpochTimer();
  await pause(30);
  clock.dataReady();
  await pause(60);
  clock.runtimeIdle();
  expect(clock.dataWaitSeconds).toBeGreaterThanOrEqual(0.028);
  expect(clock.dataWaitSeconds).toBeLessThan(clock.seconds - 0.055);
});

test('a computation is not waiting for data; what passes after it is', async () => {
  const clock = new EpochTimer();
  expect(await clock.compute(() => pause(60).then(() => 'done'))).toBe('done');
  await pause(30);
  clock.dataReady();
  expect(clock.dataWaitSeconds).toBeGreaterThanOrEqual(0.028);
  expect(clock.dataWaitSeconds).toBeLessThan(clock.seconds - 0.055);
});
