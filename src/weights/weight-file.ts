/** Reads the weights of a network from a file of any supported format, and accounts for every tensor in it. */

import { WeightsError } from '../common/errors.js';
import type { Tensor } from '../common/tensor.js';
import type { Platform } from '../platform/platform.js';
import { account, type Account, FLOATS } from './account.js';
import { parseFile } from './byte-source.js';
import { checkValues, findNonFinite } from './check-values.js';
import type { TensorGroup } from './contents.js';
import { isSafetensors } from './file-format.js';
import type { KnownNetwork } from './looks-like.js';
import { isAverage } from './prefix.js';
import { isPth, openPth } from './pth/read-pth.js';
import { underNetworkNames } from './published-names.js';
import { refusal, remarks, type Sought } from './refusal.js';
import { openSafetensors } from './safetensors.js';

/** The host's parts that weight files are read with. */
export type WeightPlatform = Pick<Platform, 'files' | 'zip'>;

/** A network whose weights are to be read. */
export interface SoughtWeights extends Omit<Sought, 'where'> {
  /** Returns the networks that a refusal compares the file with. Called for a refusal only. */
  readonly known: () => Promise<readonly KnownNetwork[]>;
}

export interface LoadedWeights {
  /** By the network's names, without the head and momentum; counters may be missing. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** The file's own head by the network's names, as far as its types can be read. Training does not use it. */
  readonly head: ReadonlyMap<string, Tensor>;
  /** How the file was understood, one sentence each; empty for a plain state_dict with its publisher's names. */
  readonly remarks: readonly string[];
}

const EXPECTATION = {
  expected: 'weights (.safetensors or .pth)',
  advice: 'check the path, or use --weights imagenet or --weights random',
};

/**
 * Reads the weights of a network from a `.safetensors` or `.pth` file, told apart by their contents. If the
 * file has several state_dicts, it takes the one that fits best; if several fit equally, one that is not an average
 * of the weights, and then the outermost, first one.
 *
 * @param sought.known the networks that a refusal compares the file with; called for a refusal only.
 * @throws WeightsError if the file is missing, unreadable or damaged, lacks a tensor of the network, has one that the
 *   network does not know, or has values that are not finite.
 */
export async function loadWeights(
  file: string,
  sought: SoughtWeights,
  platform: WeightPlatform,
): Promise<LoadedWeights> {
  const choose = (groups: readonly TensorGroup[]): Promise<LoadedWeights> =>
    load(groups, { ...sought, where: file }, sought.known);
  const isTorch = await parseFile(file, platform.files, EXPECTATION, async (source) => {
    if (await isPth(source)) return true;
    if (await isSafetensors(source)) return false;
    // The contents tell neither format. The name tells which one the message is about.
    return /[^/\\]\.(pth|pt|ckpt)(\.tar)?$/i.test(file);
  });
  return isTorch
    ? openPth(file, platform, choose)
    : openSafetensors(file, platform.files, (group) => choose([group]));
}

/** A state_dict, and how well it fits. */
interface Candidate {
  readonly group: TensorGroup;
  readonly account: Account;
  /** Whether its names were those of the publisher's file, and not the network's own. */
  readonly isRenamed: boolean;
}

/** Reads a state_dict by the network's names or by those of its publisher's file, whichever fits better. */
function candidate(group: TensorGroup, { layout, names }: Sought): Candidate {
  const own = { group, account: account(group.tensors, layout), isRenamed: false };
  const renamed = names === null ? null : underNetworkNames(group, names);
  if (renamed === null) return own;
  const other = { group: renamed, account: account(renamed.tensors, layout), isRenamed: true };
  return fit(other) > fit(own) ? other : own;
}

async function load(
  groups: readonly TensorGroup[],
  sought: Sought,
  known: () => Promise<readonly KnownNetwork[]>,
): Promise<LoadedWeights> {
  const candidates = groups.map((group) => candidate(group, sought));
  // If none fits, the message is about the largest.
  const tensors = ({ group }: Candidate): number => group.tensors.size;
  candidates.sort(
    (a, b) =>
      fit(b) - fit(a) || (fit(a) === 0 ? tensors(b) - tensors(a) : averages(a) - averages(b)),
  );
  const [best, ...others] = candidates;
  if (best === undefined) throw new RangeError('a file without tensors was not refused');
  const problem = await refusal(best.group, best.account, sought, known);
  if (problem !== null) throw new WeightsError(problem);
  const { used, head, prefix } = best.account;
  const found = await best.group.read([...used.values()]);
  checkValues(found, sought.where);
  const loaded = new Map<string, Tensor>();
  for (const [name, nameInFile] of used) {
    const tensor = found.get(nameInFile);
    if (tensor !== undefined) loaded.set(name, tensor);
  }
  const rivals = others.filter((other) => fit(other) === fit(best)).map(pathOf);
  const heads = await best.group.read(head.filter(isReadable(best.group)));
  const unused = findNonFinite(heads);
  const told = { where: sought.where, others: others.map(pathOf), rivals };
  const remarked = remarks(best.group, best.account, told);
  if (best.isRenamed) {
    remarked.push(
      `${sought.where}: names are those of its publisher, and read as ${sought.arch}'s`,
    );
  }
  // The network may be good all the same: with a frozen backbone, only the head can diverge.
  if (unused !== null) remarked.push(`${sought.where}: found ${unused}, which is not used`);
  const local = (name: string): string =>
    name.startsWith(prefix) ? name.slice(prefix.length) : name;
  const ownHead = new Map([...heads].map(([name, tensor]) => [local(name), tensor]));
  return { tensors: loaded, head: ownHead, remarks: remarked };
}

function isReadable({ tensors }: TensorGroup): (name: string) => boolean {
  return (name) => FLOATS.has(tensors.get(name)?.dtype ?? '');
}

function pathOf({ group }: Candidate): string {
  return group.path.join('.');
}

/** Number of the network's tensors that a state_dict has; counters do not count. */
function fit({ account: { used } }: Candidate): number {
  return [...used.keys()].filter((name) => !name.endsWith('num_batches_tracked')).length;
}

function averages({ group }: Candidate): number {
  return group.path.some(isAverage) ? 1 : 0;
}
