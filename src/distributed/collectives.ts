/** Collective operations on values, caches and states. All ranks call them, in the same order. */

import { stateFromBytes, stateToBytes, type StateShape } from '../artifacts/state-vector.js';
import { DistributedError } from '../common/errors.js';
import type { State } from '../common/tensor.js';
import type { ProcessGroup } from './process-group.js';

/**
 * Checks that `values` are equal on all ranks.
 *
 * @param hosts host name of each rank, for the message.
 * @throws DistributedError, on every rank, with each value that differs.
 */
export async function assertSameOnAllRanks(
  group: ProcessGroup,
  values: Readonly<Record<string, unknown>>,
  hosts: readonly string[],
): Promise<void> {
  const all = await group.allGather(values);
  const text = (value: unknown): string => JSON.stringify(value ?? null);
  const keys = new Set(all.flatMap((one) => Object.keys(one)));
  const differences = [...keys].flatMap((key) => {
    const first = text(all[0]?.[key]);
    const rank = all.findIndex((one) => text(one[key]) !== first);
    if (rank < 0) return [];
    const where = `rank ${rank} (${hosts[rank] ?? ''})`;
    return [`${key}: ${short(first)} on rank 0, ${short(text(all[rank]?.[key]))} on ${where}`];
  });
  if (differences.length === 0) return;
  throw new DistributedError(
    `expected the same on all ${group.size} ranks, found ${differences.join('; ')}; start all ranks with the ` +
      'same command, on copies of the same files',
    undefined,
    true,
  );
}

/** Shortens a value for a message: hashes and lists are long. */
function short(text: string): string {
  return text.length <= 60 ? text : `${text.slice(0, 24)}…`;
}

/**
 * Returns rank 0's value, which JSON can hold. The barrier before it has no time limit: rank 0 may need minutes to
 * have its value.
 *
 * @param value ignored on the other ranks.
 */
export async function broadcastJson<T>(group: ProcessGroup, value: T): Promise<T> {
  if (group.size === 1) return value;
  await group.barrier();
  const json = new TextEncoder().encode(group.isMain ? JSON.stringify(value) : '');
  const length = await group.allReduce(Float64Array.of(json.length));
  const bytes = new Uint8Array(length[0] ?? 0);
  bytes.set(json);
  return JSON.parse(new TextDecoder().decode(await group.broadcast(bytes))) as T;
}

/**
 * Returns rank 0's state.
 *
 * @param state null on ranks that have none; ignored on all but rank 0.
 * @param layout the tensors of the state, in the same order on all ranks.
 */
export async function broadcastState(
  group: ProcessGroup,
  state: State | null,
  layout: readonly StateShape[],
): Promise<State> {
  if (group.size === 1 && state !== null) return state;
  await group.barrier();
  return stateFromBytes(await group.broadcast(stateToBytes(state, layout)), layout);
}

/** Replaces the state of every rank's session by that of rank 0, whose BatchNorm statistics count. */
export async function synchronizeState(
  group: ProcessGroup,
  session: { getState(): Promise<State>; setState(state: State): Promise<void> },
): Promise<void> {
  if (group.size === 1) return;
  const own = await session.getState();
  const layout = [...own].map(([name, { dtype, shape }]) => ({ name, dtype, shape }));
  const state = await broadcastState(group, own, layout);
  if (!group.isMain) await session.setState(state);
}

/**
 * Runs `task` on the first rank of each host, then on the others, which find the host's caches filled.
 *
 * @param hosts host name of each rank.
 */
export async function localMainFirst<T>(
  group: ProcessGroup,
  hosts: readonly string[],
  task: () => Promise<T>,
): Promise<T> {
  const isFirst = hosts.indexOf(hosts[group.rank] ?? '') === group.rank;
  const early = isFirst ? { value: await task() } : null;
  await group.barrier();
  return early === null ? task() : early.value;
}
