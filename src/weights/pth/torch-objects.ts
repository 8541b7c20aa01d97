/** Understands the few PyTorch names of a pickled state_dict, as inert descriptions of storages and tensors. */

import { FormatProblem } from '../byte-source.js';
import {
  type PickleDict,
  PickleGlobal,
  type PickleHost,
  PickleObject,
  PickleTuple,
  type PickleValue,
  setItem,
} from './pickle-machine.js';
import { elementCount, type ElementType, formatShape } from '../../common/tensor.js';

/** Most dimensions of a tensor; more than any weight has. It bounds the work per tensor. */
const MAX_RANK = 8;

/** Element types by the name of PyTorch's storage class; null if the class is known but cannot be read. */
const STORAGES: ReadonlyMap<string, ElementType | null> = new Map<string, ElementType | null>([
  ['FloatStorage', 'float32'],
  ['DoubleStorage', 'float64'],
  ['HalfStorage', 'float16'],
  ['BFloat16Storage', 'bfloat16'],
  ['LongStorage', 'int64'],
  ['IntStorage', null],
  ['ShortStorage', null],
  ['CharStorage', null],
  ['ByteStorage', null],
  ['BoolStorage', null],
]);
const STORAGE_NAME = /^torch\.(?:cuda\.)?(\w+Storage)$/;

/** A block of elements that tensors are views of. */
export class TorchStorage extends PickleObject {
  override readonly kind = 'storage';
  /**
   * @param key name of the storage's data in the file.
   * @param className PyTorch's name of the storage class.
   * @param type null if its elements cannot be read.
   * @param count number of elements.
   */
  constructor(
    readonly key: string,
    readonly className: string,
    readonly type: ElementType | null,
    readonly count: number,
  ) {
    super();
  }
}

/** A part of a storage; old files have them. */
class StorageView extends PickleObject {
  override readonly kind = 'storage view';
  constructor(
    readonly storage: TorchStorage,
    readonly offset: number,
    readonly count: number,
  ) {
    super();
  }
}

/** A tensor, checked to lie inside its storage. */
export class TorchTensor extends PickleObject {
  override readonly kind = 'tensor';
  /**
   * @param offset position of the first element in the storage, in elements.
   * @param strides distance of neighbours in the storage, in elements, per dimension.
   */
  constructor(
    readonly storage: TorchStorage,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {
    super();
  }
}

/** Interprets the names that a state_dict's pickle needs, and refuses every other name. */
export class TorchHost implements PickleHost {
  /** Storages by key, in the order in which the pickle names them. */
  readonly storages = new Map<string, TorchStorage>();

  readonly #functions = new Map<string, (args: readonly PickleValue[]) => PickleValue>([
    ['collections.OrderedDict', orderedDict],
    ['torch._utils._rebuild_tensor_v2', rebuildTensor],
    ['torch._utils._rebuild_tensor', rebuildTensor],
    ['torch._utils._rebuild_parameter', rebuildParameter],
    ['torch.nn.parameter.Parameter', rebuildParameter],
  ]);

  allow(name: string): void {
    const storage = STORAGE_NAME.exec(name)?.[1];
    if (this.#functions.has(name) || (storage !== undefined && STORAGES.has(storage))) return;
    throw new FormatProblem(`${JSON.stringify(name)}, which a state_dict does not need`);
  }

  call(name: string, args: readonly PickleValue[]): PickleValue {
    const call = this.#functions.get(name);
    if (call === undefined) throw new FormatProblem(`a pickle that calls ${JSON.stringify(name)}`);
    return call(args);
  }

  /**
   * Resolves `('storage', class, key, location, elements)`. Old files add a view: `(key, offset, elements)` or
   * None.
   */
  persistent(id: PickleValue): PickleValue {
    const [tag, storageClass, key, , count, view] = id instanceof PickleTuple ? id.items : [];
    const className =
      storageClass instanceof PickleGlobal ? STORAGE_NAME.exec(storageClass.name)?.[1] : undefined;
    if (tag !== 'storage' || className === undefined || typeof key !== 'string') {
      throw new FormatProblem('a pickle that refers to something else than a storage');
    }
    const storage = new TorchStorage(
      key,
      className,
      STORAGES.get(className) ?? null,
      natural(count, 'a storage size'),
    );
    const known = this.storages.get(key);
    if (known === undefined) this.storages.set(key, storage);
    else if (known.className !== className || known.count !== storage.count) {
      throw new FormatProblem(`storage ${JSON.stringify(key)} described in two ways`);
    }
    return view instanceof PickleTuple ? storageView(known ?? storage, view) : (known ?? storage);
  }
}

function storageView(storage: TorchStorage, view: PickleTuple): StorageView {
  const offset = natural(view.items[1], 'a storage offset');
  const count = natural(view.items[2], 'a storage size');
  if (offset + count > storage.count) {
    throw new FormatProblem(`a view outside its storage of ${storage.count} elements`);
  }
  return new StorageView(storage, offset, count);
}

/** Makes an OrderedDict: empty for pickles of Python 3, from a list of [key, value] for those of Python 2. */
function orderedDict(args: readonly PickleValue[]): PickleDict {
  const dict: PickleDict = new Map();
  const [items] = args;
  if (items === undefined) return dict;
  if (!Array.isArray(items)) throw new FormatProblem('an OrderedDict made of something unknown');
  // Empty the list, so that a pickle that uses it again and again cannot multiply the work.
  for (const pair of items.splice(0)) {
    const [key, value] = Array.isArray(pair) ? pair : pair instanceof PickleTuple ? pair.items : [];
    setItem(dict, key, value);
  }
  return dict;
}

/** Takes `(storage, offset, shape, strides, requires_grad, hooks)`; the older function has the first four only. */
function rebuildTensor(args: readonly PickleValue[]): TorchTensor {
  const [from, offsetValue, shapeValue, stridesValue] = args;
  if (!(from instanceof TorchStorage) && !(from instanceof StorageView)) {
    throw new FormatProblem('a tensor without a storage');
  }
  const storage = from instanceof TorchStorage ? from : from.storage;
  const base = from instanceof TorchStorage ? 0 : from.offset;
  const offset = natural(offsetValue, 'a tensor offset');
  const shape = naturals(shapeValue, 'a tensor shape');
  const strides = naturals(stridesValue, 'tensor strides');
  const what = `a tensor of shape ${formatShape(shape)}, strides ${formatShape(strides)}, offset ${offset}`;
  if (strides.length !== shape.length) throw new FormatProblem(what);
  const count = elementCount(shape);
  if (count === null) throw new FormatProblem(`${what}, which is too large`);
  // The largest index. It is not exact beyond 2^53, but is out of range then in any case.
  const last = shape.reduce((sum, size, axis) => sum + (size - 1) * (strides[axis] ?? 0), offset);
  if (count > 0 && last >= from.count) {
    throw new FormatProblem(`${what} outside its storage of ${from.count} elements`);
  }
  return new TorchTensor(storage, base + offset, shape, strides);
}

/** Takes `(tensor, requires_grad, hooks)`. */
function rebuildParameter(args: readonly PickleValue[]): TorchTensor {
  const [tensor] = args;
  if (!(tensor instanceof TorchTensor)) throw new FormatProblem('a parameter without a tensor');
  return tensor;
}

function natural(value: PickleValue | undefined, what: string): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new FormatProblem(`${what} that is not a natural number`);
}

function naturals(value: PickleValue | undefined, what: string): number[] {
  if (!(value instanceof PickleTuple) || value.items.length > MAX_RANK) {
    throw new FormatProblem(`${what} that is not a tuple of at most ${MAX_RANK} numbers`);
  }
  return value.items.map((item) => natural(item, what));
}
