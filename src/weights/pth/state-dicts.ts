/** Finds the state_dicts in what a `.pth` file holds: the file's own dictionary, or dictionaries inside it. */

import { FormatProblem } from '../byte-source.js';
import { type FoundTensor, printable } from '../contents.js';
import { ForeignObject, type PickleDict, type PickleValue } from './pickle-machine.js';
import { TorchTensor } from './torch-objects.js';

/** A dictionary that has tensors as its direct values. */
export interface StateDict {
  readonly path: readonly string[];
  /** First keys of the other entries along that path. */
  readonly beside: readonly string[];
  readonly entries: ReadonlyMap<string, TorchTensor | ForeignObject>;
}

/** Most keys on the way to a state_dict. */
const MAX_DEPTH = 3;
/** Most dictionaries that are looked at; a checkpoint has a few dozen. */
const MAX_DICTIONARIES = 1000;
/** Keys under which training scripts store their network. */
const NETWORK_KEYS = /^(?:model|net|network|module|ema|state_dict|model_state_dict|model_ema)$/;

/**
 * Lists the state_dicts, the outermost first.
 *
 * @throws FormatProblem if there are none, with what is there instead.
 */
export function findStateDicts(root: PickleValue): StateDict[] {
  if (root instanceof ForeignObject) throw new FormatProblem(wholeObject(root));
  if (!(root instanceof Map)) throw new FormatProblem('something that is not a dictionary');
  const found: StateDict[] = [];
  const seen = new Set<PickleDict>([root]);
  const queue: Omit<StateDict, 'entries'>[] = [{ path: [], beside: [] }];
  const dictionaries: PickleDict[] = [root];
  for (let next = 0; next < queue.length; next++) {
    const [dict, at] = [dictionaries[next], queue[next]];
    if (dict === undefined || at === undefined) break;
    const entries = entriesOf(dict);
    if ([...entries.values()].some((value) => value instanceof TorchTensor)) {
      found.push({ ...at, entries });
    }
    if (at.path.length === MAX_DEPTH) continue;
    for (const [key, value] of dict) {
      if (!(value instanceof Map) || typeof key !== 'string' || seen.has(value)) continue;
      if (seen.size === MAX_DICTIONARIES) break;
      seen.add(value);
      dictionaries.push(value);
      queue.push({ path: [...at.path, key], beside: [...at.beside, ...besides(dict, key)] });
    }
  }
  const network = networkObject(root);
  if (network !== null && found.every(({ entries }) => entries.size < FEW)) {
    throw new FormatProblem(network);
  }
  if (found.length === 0) throw new FormatProblem(withoutTensors(root));
  return found;
}

/** A dictionary with fewer entries has no network in it, but perhaps a result or a random state. */
const FEW = 10;

/** Describes an object under a key where a network's state_dict is expected; null if there is none. */
function networkObject(root: PickleDict): string | null {
  for (const [key, value] of root) {
    if (typeof key !== 'string' || !(value instanceof ForeignObject)) continue;
    if (NETWORK_KEYS.test(key)) return `under "${key}" ${wholeObject(value)}`;
  }
  return null;
}

/** Lists entries' names with element types and shapes. */
export function listEntries({ entries }: StateDict): Map<string, FoundTensor> {
  const listed = new Map<string, FoundTensor>();
  for (const [name, value] of entries) {
    listed.set(
      name,
      value instanceof TorchTensor
        ? { dtype: value.storage.elements.dtype, shape: value.shape }
        : { dtype: value.className, shape: null },
    );
  }
  return listed;
}

function entriesOf(dict: PickleDict): Map<string, TorchTensor | ForeignObject> {
  const entries = new Map<string, TorchTensor | ForeignObject>();
  for (const [name, value] of dict) {
    if (typeof name !== 'string') continue;
    if (value instanceof TorchTensor || value instanceof ForeignObject) entries.set(name, value);
  }
  return entries;
}

/** Most keys beside a state_dict that are kept for messages. */
const MAX_BESIDE = 20;

function besides(dict: PickleDict, key: string): string[] {
  const others: string[] = [];
  for (const other of dict.keys()) {
    if (others.length === MAX_BESIDE) break;
    if (typeof other === 'string' && other !== key) others.push(other);
  }
  return others;
}

function wholeObject({ className }: ForeignObject): string {
  const name = printable(className);
  if (className.startsWith('__torch__.')) return 'a TorchScript model, which is not a state_dict';
  return `a whole object of ${name}, which cannot be read without its Python code`;
}

function withoutTensors(dict: PickleDict): string {
  if (dict.size === 0) return 'an empty dictionary';
  const keys: string[] = [];
  for (const [key, value] of dict) {
    if (typeof key !== 'string') continue;
    const is = value instanceof ForeignObject ? ` (${printable(value.className)})` : '';
    if (keys.push(printable(key) + is) === 8) break;
  }
  return `a dictionary without tensors (its first keys: ${keys.join(', ')})`;
}
