/** Reads the weights of a network from a file of any supported format, and accounts for every tensor in it. */

import { WeightsError } from '../common/errors.js';
import type { Tensor } from '../common/tensor.js';
import type { Platform } from '../platform/platform.js';
import { account, type Account, FLOATS } from './account.js';
import { parseFile } from './byte-source.js';
import { checkValues, findNonFinite } from './check-values.js';
import type { TensorGroup } from './contents.js';
import { isSafetensors } from './file-format.js';
import { isAverage } from './prefix.js';
import { isPth, openPth } from './pth/read-pth.js';
import { refusal, remarks, type Sought } from './refusal.js';
import { openSafetensors } from './safetensors.js';

/** The host's parts that weight files are read with. */
export type WeightPlatform = Pick<Platform, 'files' | 'zip'>;

export interface LoadedWeights {
  /** By the network's names, without the head and momentum; counters may be missing. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** How the file was understood, one sentence each; empty for a plain state_dict with torchvision's names. */
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
 * @throws WeightsError if the file is missing, unreadable or damaged, lacks a tensor of the network, has one that the
 *   network does not know, or has values that are not finite.
 */
export async function loadWeights(
  file: string,
  sought: Omit<Sought, 'where'>,
  platform: WeightPlatform,
): Promise<LoadedWeights> {
  const choose = (groups: readonly TensorGroup[]): Promise<LoadedWeights> =>
    load(groups, { ...sought, where: file });
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
}

async function load(groups: readonly TensorGroup[], sought: Sought): Promise<LoadedWeights> {
  const candidates = groups.map((group) => ({
    group,
    account: account(group.tensors, sought.layout),
  }));
  // If none fits, the message is about the largest.
  const tensors = ({ group }: Candidate): number => group.tensors.size;
  candidates.sort(
    (a, b) =>
      fit(b) - fit(a) || (fit(a) === 0 ? tensors(b) - tensors(a) : averages(a) - averages(b)),
  );
  const [best, ...others] = candidates;
  if (best === undefined) throw new RangeError('a file without tensors was not refused');
  const problem = refusal(best.group, best.account, sought);
  if (problem !== null) throw new WeightsError(problem);
  const { used, head } = best.account;
  const found = await best.group.read([...used.values()]);
  checkValues(found, sought.where);
  const loaded = new Map<string, Tensor>();
  for (const [name, nameInFile] of used) {
    const tensor = found.get(nameInFile);
    if (tensor !== undefined) loaded.set(name, tensor);
  }
  const rivals = others.filter((other) => fit(other) === fit(best)).map(pathOf);
  const unused = findNonFinite(await best.group.read(head.filter(isReadable(best.group))));
  const told = { where: sought.where, others: others.map(pathOf), rivals };
  const remarked = remarks(best.group, best.account, told);
  // The network may be good all the same: with a frozen backbone, only the head can diverge.
  if (unused !== null) remarked.push(`${sought.where}: found ${unused}, which is not used`);
  return { tensors: loaded, remarks: remarked };
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
