/** Reads a file whose publisher named the tensors otherwise than the network does. */

import type { FoundTensor, TensorGroup } from './contents.js';
import { findPrefix } from './prefix.js';

/** Names of a published file's tensors, with the network's name for each. */
export type PublishedNames = Readonly<Record<string, string>>;

/**
 * Returns a file's tensors under the network's names. A common prefix stays in front of them, and names that `names`
 * does not have stay as they are.
 *
 * @returns null if the file has fewer than half of the names, or two tensors would get the same name.
 */
export function underNetworkNames(group: TensorGroup, names: PublishedNames): TensorGroup | null {
  const expected = new Set(Object.keys(names));
  const { prefix } = findPrefix(group.tensors.keys(), expected);
  const originals = new Map<string, string>();
  const tensors = new Map<string, FoundTensor>();
  let renamed = 0;
  for (const [name, tensor] of group.tensors) {
    const local = name.startsWith(prefix) ? name.slice(prefix.length) : '';
    const known = expected.has(local) ? names[local] : undefined;
    const own = known === undefined ? name : prefix + known;
    if (tensors.has(own)) return null;
    if (known !== undefined) renamed++;
    originals.set(own, name);
    tensors.set(own, tensor);
  }
  if (renamed < expected.size / 2) return null;
  const read: TensorGroup['read'] = async (wanted) => {
    const owns = [...wanted].filter((own) => originals.has(own));
    const found = await group.read(owns.map((own) => originals.get(own) ?? own));
    return new Map(
      owns.flatMap((own) => {
        const tensor = found.get(originals.get(own) ?? own);
        return tensor === undefined ? [] : [[own, tensor] as const];
      }),
    );
  };
  return { path: group.path, beside: group.beside, tensors, read };
}
