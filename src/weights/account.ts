/**
 * Accounts for every tensor of a weight file: which tensor of the network it is, why it may be left out, or that it
 * is unknown. It looks at names, types and shapes only.
 */

import type { StateEntry } from '../artifacts/state-layout.js';
import { MOMENTUM_PREFIX, sameShape } from '../common/tensor.js';
import type { FoundTensor } from './contents.js';
import { findPrefix, isAverage } from './prefix.js';

/** Tensors that are left out for a reason that people are told. */
export interface LeftOut {
  /** For example "another head". */
  readonly reason: string;
  /** The file's names. */
  readonly names: readonly string[];
}

export interface Account {
  /** Stripped from the file's names; empty if there is none. */
  readonly prefix: string;
  /** Other prefixes under which the network is in the file, too. */
  readonly twins: readonly string[];
  /** The file's names by the network's, for tensors that fit. */
  readonly used: ReadonlyMap<string, string>;
  /** The head's tensors in the file. They are not used: the head always starts fresh. */
  readonly head: readonly string[];
  readonly missing: readonly StateEntry[];
  /** Tensors of the network with another shape or type in the file. */
  readonly different: readonly { readonly entry: StateEntry; readonly found: FoundTensor }[];
  readonly leftOut: readonly LeftOut[];
  /** The file's names of tensors that the network does not have. */
  readonly unknown: readonly string[];
}

/** Element types that are read as float32. */
export const FLOATS: ReadonlySet<string> = new Set(['float32', 'float16', 'bfloat16', 'float64']);
/** Names that networks give to their last layer. */
const HEAD =
  /^(?:fc|head|heads|classifier|classification_head|cls_head|linear|last_linear|output|out|logits)\./;
const OPTIMIZER =
  /(?:^|\.)(?:optim|optimizer|optimizers|optimizer_states?|momentum_buffer|exp_avg|exp_avg_sq|max_exp_avg_sq)(?:\.|$)/;
const LOSS = /(?:^|\.)(?:criterion|loss|loss_fn|loss_function|loss_func)\./;

/** Returns whether a tensor is one of BatchNorm's step counters. They may be missing, and may be too many. */
function isCounter(name: string): boolean {
  return name.endsWith('num_batches_tracked');
}

/**
 * Accounts for a file's tensors.
 *
 * @param found the file's tensors. Objects that are not tensors count only under a name of the network.
 * @param layout the network's tensors; momentum is left out of it.
 */
export function account(
  found: ReadonlyMap<string, FoundTensor>,
  layout: readonly StateEntry[],
): Account {
  const entries = new Map(
    layout
      .filter(({ role }) => role === 'backbone' || role === 'statistics' || role === 'counter')
      .map((entry) => [entry.name, entry]),
  );
  const required = new Set([...entries.keys()].filter((name) => !isCounter(name)));
  const { prefix, others } = findPrefix(found.keys(), required);
  const used = new Map<string, string>();
  const different: Account['different'][number][] = [];
  const rest: string[] = [];
  for (const [name, tensor] of found) {
    const entry = name.startsWith(prefix) ? entries.get(name.slice(prefix.length)) : undefined;
    if (entry === undefined) {
      if (tensor.shape !== null) rest.push(name);
    } else if (fits(tensor, entry)) used.set(entry.name, name);
    else if (entry.role !== 'counter') different.push({ entry, found: tensor });
  }
  const differing = new Set(different.map(({ entry }) => entry.name));
  const missing = [...required]
    .filter((name) => !used.has(name) && !differing.has(name))
    .flatMap((name) => entries.get(name) ?? []);
  const sorted = sortRest(rest, found, { prefix, others, layout });
  return { prefix, twins: others, used, different, missing, ...sorted };
}

function fits({ dtype, shape }: FoundTensor, entry: StateEntry): boolean {
  const type = FLOATS.has(dtype) ? 'float32' : dtype;
  return type === entry.dtype && shape !== null && sameShape(shape, entry.shape);
}

interface Network {
  readonly prefix: string;
  /** Other prefixes under which the whole network is in the file. */
  readonly others: readonly string[];
  readonly layout: readonly StateEntry[];
}

/** Sorts the tensors that the network does not take: the head, those left out for a reason, and unknown ones. */
function sortRest(
  names: readonly string[],
  found: ReadonlyMap<string, FoundTensor>,
  network: Network,
): Pick<Account, 'head' | 'leftOut' | 'unknown'> {
  const { prefix, layout } = network;
  const own = new Set(layout.map(({ name }) => name));
  const heads = layout.filter(({ role }) => role === 'head').map(({ name }) => moduleOf(name));
  const reasonFor = reasons(names, found, network);
  const head: string[] = [];
  const unknown: string[] = [];
  const leftOut = new Map<string, string[]>();
  for (const name of names) {
    const local = localName(name, prefix);
    if (isCounter(local) || isMomentum(local, prefix, own)) continue;
    const reason = reasonFor(name);
    if (heads.some((module) => local.startsWith(module))) head.push(name);
    else if (reason === null) unknown.push(name);
    else {
      const list = leftOut.get(reason) ?? [];
      leftOut.set(reason, list);
      list.push(name);
    }
  }
  const reasoned = [...leftOut].map(([reason, list]) => ({ reason, names: list }));
  return { head, leftOut: reasoned, unknown };
}

/** Returns a function that tells why a tensor of the file may be left out; null if nothing is known of it. */
function reasons(
  names: readonly string[],
  found: ReadonlyMap<string, FoundTensor>,
  network: Network,
): (name: string) => string | null {
  const otherHeads = findOtherHeads(names, found, network);
  const copies = network.others.filter(isAverage);
  return (name) => {
    const local = localName(name, network.prefix);
    const [first = ''] = local.split('.', 1);
    if (otherHeads.has(`${first}.`)) return 'another head';
    if (OPTIMIZER.test(local)) return "the optimizer's state";
    const copy = copies.some((prefix) => name.startsWith(prefix));
    if (copy || isAverage(first)) return 'an averaged copy';
    if (LOSS.test(local) && (found.get(name)?.shape?.length ?? 0) <= 1) return "the loss's weights";
    return null;
  };
}

function localName(name: string, prefix: string): string {
  return name.startsWith(prefix) ? name.slice(prefix.length) : name;
}

/** Returns `fc.` for `fc.weight`. */
function moduleOf(name: string): string {
  return name.slice(0, name.lastIndexOf('.') + 1);
}

/** Checks for the momentum of a tensor, as this project's own checkpoints have it. */
function isMomentum(local: string, prefix: string, own: ReadonlySet<string>): boolean {
  if (!local.startsWith(MOMENTUM_PREFIX)) return false;
  return own.has(localName(local.slice(MOMENTUM_PREFIX.length), prefix));
}

/**
 * Finds heads under other names than the network's, such as `classifier.`: linear layers alone (or layers of the form
 * that the network's own head has), one of which takes the backbone's features.
 */
function findOtherHeads(
  names: readonly string[],
  found: ReadonlyMap<string, FoundTensor>,
  { prefix, layout }: Network,
): Set<string> {
  const own = layout.find(({ role, shape }) => role === 'head' && shape.length >= 2)?.shape;
  const heads = new Set<string>();
  const others = new Set<string>();
  for (const name of names) {
    const [head] = HEAD.exec(localName(name, prefix)) ?? [];
    if (head === undefined) continue;
    const shape = found.get(name)?.shape ?? [];
    if (own !== undefined && sameShape(shape.slice(1), own.slice(1))) heads.add(head);
    else if (shape.length > 2) others.add(head);
  }
  return new Set([...heads].filter((head) => !others.has(head)));
}
