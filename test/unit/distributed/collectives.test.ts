import { describe, expect, test } from '@jest/globals';
import type { StateShape } from '../../../src/artifacts/state-vector.js';
import { DistributedError } from '../../../src/common/errors.js';
import { float32Tensor, type State } from '../../../src/common/tensor.js';
import {
  assertSameOnAllRanks,
  broadcastJson,
  broadcastState,
  localMainFirst,
  synchronizeState,
} from '../../../src/distributed/collectives.js';
import { threadsPerRank } from '../../../src/distributed/hosts.js';
import { SINGLE_PROCESS } from '../../../src/distributed/process-group.js';
import { runRanks, settleRanks } from '../../support/memory-process-group.js';

const HOSTS = ['a', 'a', 'b'];

function stateOf(value: number): State {
  const counter = BigInt64Array.of(2n ** 60n + BigInt(value));
  return new Map([
    ['weight', float32Tensor([2, 2], Float32Array.of(value, value + 1, NaN, -0))],
    ['count', { dtype: 'int64', shape: [], data: counter }],
    ['bias', float32Tensor([1], Float32Array.of(-value))],
  ]);
}

const LAYOUT: StateShape[] = [...stateOf(0)].map(([name, { dtype, shape }]) => ({
  name,
  dtype,
  shape,
}));

describe('an in-memory process group', () => {
  test('sums, broadcasts, gathers and waits', async () => {
    const order: string[] = [];
    const found = await runRanks(3, async (group) => {
      const { rank, size, isMain } = group;
      const sums = await group.allReduce(Float32Array.of(rank, 1));
      const large = await group.allReduce(BigInt64Array.of(2n ** 60n));
      const bytes = await group.broadcast(Uint8Array.of(7 * (rank + 1), rank));
      const all = await group.allGather({ rank, text: 'ä'.repeat(rank) });
      order.push(`before ${rank}`);
      await group.barrier();
      order.push(`after ${rank}`);
      return { size, isMain, sums: [...sums], large: large[0], bytes: [...bytes], all };
    });
    const all = [0, 1, 2].map((rank) => ({ rank, text: 'ä'.repeat(rank) }));
    const same = { size: 3, sums: [3, 3], large: 3n * 2n ** 60n, bytes: [7, 0], all };
    expect(found).toEqual([true, false, false].map((isMain) => ({ isMain, ...same })));
    expect(order.slice(0, 3).every((word) => word.startsWith('before'))).toBe(true);
  });

  test('a rank that fails ends the others; ranks that call different collectives are told', async () => {
    const failing = settleRanks(3, async (group) => {
      if (group.rank === 1) throw new Error('no disk');
      await group.barrier();
    });
    for (const outcome of await failing) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { message: 'no disk' } });
    }
    const mixed = runRanks<unknown>(2, (group) =>
      group.rank === 0 ? group.barrier() : group.allGather(1),
    );
    await expect(mixed).rejects.toThrow('expected barrier on all ranks, got allGather');
  });
});

describe('assertSameOnAllRanks', () => {
  test('accepts equal values, and any in a single process', async () => {
    await runRanks(3, (group) => assertSameOnAllRanks(group, { lr: 0.1, list: [1] }, HOSTS));
    await assertSameOnAllRanks(SINGLE_PROCESS, { lr: 0.1 }, ['a']);
  });

  test('names what differs, on every rank', async () => {
    const hash = 'f'.repeat(80);
    const outcomes = await settleRanks(3, (group) => {
      const own = group.rank === 2 ? { lr: 1, data: hash } : { lr: 0.1, data: 'e', only: 1 };
      return assertSameOnAllRanks(group, own, HOSTS);
    });
    for (const outcome of outcomes) {
      const reason: unknown = (outcome as PromiseRejectedResult).reason;
      expect(reason).toBeInstanceOf(DistributedError);
      expect(reason).toMatchObject({ everywhere: true });
      expect((reason as Error).message).toBe(
        'expected the same on all 3 ranks, found lr: 0.1 on rank 0, 1 on rank 2 (b); data: "e" on rank 0, ' +
          `"${'f'.repeat(23)}… on rank 2 (b); only: 1 on rank 0, null on rank 2 (b); start all ranks with the ` +
          'same command, on copies of the same files',
      );
    }
  });
});

test('broadcastJson gives every rank the value of rank 0', async () => {
  const value = { text: 'Zürich', list: [1, null] };
  const found = await runRanks(3, (group) =>
    broadcastJson(group, group.isMain ? value : { text: '', list: [group.rank] }),
  );
  expect(found).toEqual([value, value, value]);
  expect(await broadcastJson(SINGLE_PROCESS, value)).toBe(value);
});

describe('broadcastState', () => {
  test('gives every rank the state of rank 0, to the bit', async () => {
    const found = await runRanks(3, (group) =>
      broadcastState(group, group.isMain ? stateOf(4) : null, LAYOUT),
    );
    expect(found).toEqual([stateOf(4), stateOf(4), stateOf(4)]);
    const own = stateOf(1);
    expect(await broadcastState(SINGLE_PROCESS, own, LAYOUT)).toBe(own);
  });

  test('refuses a state that lacks a tensor', async () => {
    const attempt = runRanks(2, (group) => broadcastState(group, new Map(), LAYOUT));
    await expect(attempt).rejects.toThrow('expected the tensor weight in the state, found none');
  });
});

test("synchronizeState replaces every rank's state but that of rank 0", async () => {
  const set: [number, State][] = [];
  const sessionOf = (rank: number): Parameters<typeof synchronizeState>[1] => ({
    getState: () => Promise.resolve(stateOf(rank)),
    setState: (state) => {
      set.push([rank, state]);
      return Promise.resolve();
    },
  });
  await runRanks(3, (group) => synchronizeState(group, sessionOf(group.rank)));
  expect(set.sort(([a], [b]) => a - b)).toEqual([
    [1, stateOf(0)],
    [2, stateOf(0)],
  ]);
  await synchronizeState(SINGLE_PROCESS, sessionOf(0));
  expect(set).toHaveLength(2);
});

test('localMainFirst lets one rank per host go first', async () => {
  const order: number[] = [];
  let filled = 0;
  const found = await runRanks(3, (group) =>
    localMainFirst(group, HOSTS, async () => {
      order.push(group.rank);
      await new Promise((resolve) => setTimeout(resolve, 5));
      if (order.length === 2) filled = 2;
      return [group.rank, filled];
    }),
  );
  expect(order).toEqual([0, 2, 1]);
  expect(found[1]).toEqual([1, 2]);
});

test('the ranks of a host share its processors, unless a number is given', () => {
  expect(threadsPerRank(0, 0, ['a'])).toBe(0);
  expect(threadsPerRank(3, 1, HOSTS)).toBe(3);
  expect(threadsPerRank(0, 0, Array<string>(1000).fill('a'))).toBe(1);
  expect(threadsPerRank(0, 2, HOSTS)).toBeGreaterThanOrEqual(threadsPerRank(0, 0, HOSTS));
});
