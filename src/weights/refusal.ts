/** Messages about a weight file's tensors: why it is refused, and how its names were understood. */

import type { StateEntry } from '../artifacts/state-layout.js';
import { counted, listSome } from '../common/format.js';
import { formatShape } from '../common/tensor.js';
import { type Account, FLOATS } from './account.js';
import { type FoundTensor, printable, type TensorGroup } from './contents.js';
import { looksLike, type KnownNetwork } from './looks-like.js';
import type { PublishedNames } from './published-names.js';

/** A network, and the file that is to hold its weights. */
export interface Sought extends KnownNetwork {
  /** Names that the publisher of its weights gives the tensors; null if they are the network's own. */
  readonly names: PublishedNames | null;
  /** The file, for messages. */
  readonly where: string;
}

/**
 * Returns why a file is refused: `expected X in FILE, found Y; what to do`. Null if every tensor is accounted for.
 *
 * @param known the networks that a user can choose, to say which of them the file is for.
 */
export async function refusal(
  { tensors }: TensorGroup,
  account: Account,
  { arch, layout, where }: Sought,
  known: () => Promise<readonly KnownNetwork[]>,
): Promise<string | null> {
  const problem = findProblem(tensors, account, { arch, where });
  if (problem === null) return null;
  const others = (await known()).filter((other) => other.arch !== arch);
  const likeness = looksLike(tensors, [{ arch, layout }, ...others]);
  const [changed] = account.different;
  const integers = changed !== undefined && !FLOATS.has(changed.found.dtype);
  const floats = integers ? 'floating-point ' : '';
  const names = `${floats}weights of ${arch} with its publisher's names`;
  // How the file differs from the network itself has been said.
  const isOwn = likeness?.arch === arch && likeness.kind !== 'renamed';
  if (likeness === null || isOwn) return `${problem}; use ${names}`;
  const choice = likeness.kind === 'whole' ? `--arch ${likeness.text}, or ` : '';
  return `${problem}; this looks like ${likeness.text}; use ${choice}${names}`;
}

function findProblem(
  tensors: ReadonlyMap<string, FoundTensor>,
  { missing, different, unknown, twins }: Account,
  { arch, where }: Pick<Sought, 'arch' | 'where'>,
): string | null {
  const [lost] = missing;
  const [changed] = different;
  const expected = ({ name, dtype, shape }: StateEntry): string =>
    `expected tensor ${name} of ${dtype} ${formatShape(shape)} in ${where}`;
  if (lost !== undefined) {
    const also = missing.length > 1 ? ` (nor of ${counted(missing.length - 1, 'other')})` : '';
    const names = [...tensors].filter(([, { shape }]) => shape !== null).map(([name]) => name);
    if (names.length === 0) return `${expected(lost)}, found no tensors`;
    return `${expected(lost)}, found none of that name${also} among ${names.length}: ${listNames(names)}`;
  }
  if (changed !== undefined) {
    const also =
      different.length > 1
        ? ` (and ${counted(different.length - 1, 'other')} of another shape or type)`
        : '';
    const more = unknown.length > 0 ? `, and ${moreThanExpected(unknown)}` : '';
    return `${expected(changed.entry)}, found ${describe(changed.found)}${also}${more}`;
  }
  if (unknown.length === 0) return null;
  const twin = twins.find((prefix) => unknown.some((name) => name.startsWith(prefix)));
  const twice = twin === undefined ? '' : `; the network is in it again under ${quote(twin)}`;
  return `expected only tensors of ${arch} in ${where}, found ${moreThanExpected(unknown)}${twice}`;
}

function moreThanExpected(unknown: readonly string[]): string {
  return `${unknown.length} more (${listNames(unknown)})`;
}

function describe({ dtype, shape }: FoundTensor): string {
  if (shape === null) return `${printable(dtype)}, which cannot be read`;
  return `${dtype} ${formatShape(shape)}`;
}

function listNames(names: readonly string[]): string {
  return listSome(names.map(printable));
}

/** A file, and the other dictionaries with tensors in it, by their keys. */
interface Told {
  readonly where: string;
  readonly others: readonly string[];
  /** Members of `others` that hold the network, too. */
  readonly rivals: readonly string[];
}

/** Returns remarks on how a file was understood: where its tensors are, what names begin with, what is left out. */
export function remarks(
  { path, beside }: TensorGroup,
  { prefix, leftOut }: Account,
  { where, others, rivals }: Told,
): string[] {
  const found: string[] = [];
  const rival =
    rivals.length === 0 ? '' : `; the network is also under ${rivals.map(quote).join(', ')}`;
  if (path.length > 0) {
    const left = beside.length === 0 ? '' : `, and left out ${listNames(beside)}`;
    found.push(`${where}: took the tensors under ${quote(path.join('.'))}${left}${rival}`);
  } else if (others.length > 0) {
    found.push(`${where}: left out the tensors under ${others.map(quote).join(', ')}${rival}`);
  }
  if (prefix !== '') found.push(`${where}: names begin with ${quote(prefix)}, which is left out`);
  for (const { reason, names } of leftOut) {
    found.push(`${where}: left out ${listNames(names)} (${reason})`);
  }
  return found;
}

function quote(name: string): string {
  return `"${printable(name)}"`;
}
