/** Understands the few PyTorch names of a pickled state_dict, as inert descriptions of storages and tensors. */

import { FormatProblem } from '../byte-source.js';
import {
  ForeignObject,
  type PickleDict,
  PickleGlobal,
  type PickleHost,
  PickleObject,
  PickleTuple,
  type PickleValue,
  setItem,
} from './pickle-machine.js';
import { ELEMENT_BYTES, elementCount, type ElementType, formatShape } from '../../common/tensor.js';

/** Most dimensions of a tensor; more than any weight has. It bounds the work per tensor. */
const MAX_RANK = 8;

/** A storage class of PyTorch. */
interface StorageClass {
  /** Element type; null if its elements cannot be read. */
  readonly type: ElementType | null;
  /** PyTorch's name of the element type. */
  readonly dtype: string;
  /** Bytes per element. */
  readonly bytes: number;
}

function readable(type: ElementType): StorageClass {
  return { type, dtype: type, bytes: ELEMENT_BYTES[type] };
}

function unreadable(dtype: string, bytes: number): StorageClass {
  return { type: null, dtype, bytes };
}

const STORAGES: ReadonlyMap<string, StorageClass> = new Map([
  ['FloatStorage', readable('float32')],
  ['DoubleStorage', readable('float64')],
  ['HalfStorage', readable('float16')],
  ['BFloat16Storage', readable('bfloat16')],
  ['LongStorage', readable('int64')],
  ['IntStorage', unreadable('int32', 4)],
  ['ShortStorage', unreadable('int16', 2)],
  ['CharStorage', unreadable('int8', 1)],
  ['ByteStorage', unreadable('uint8', 1)],
  ['BoolStorage', unreadable('bool', 1)],
  ['QInt8Storage', unreadable('qint8', 1)],
  ['QUInt8Storage', unreadable('quint8', 1)],
  ['QInt32Storage', unreadable('qint32', 4)],
  ['ComplexFloatStorage', unreadable('complex64', 8)],
  ['ComplexDoubleStorage', unreadable('complex128', 16)],
  // It holds elements of the newer types (float8, uint16); its size counts bytes.
  ['UntypedStorage', unreadable('untyped', 1)],
]);
const STORAGE_NAME = /^torch\.(?:cuda\.|storage\.)?(\w+Storage)$/;

/**
 * Functions that run code or commands, or destroy files. No training script writes them into a checkpoint: a file
 * that names one is an attack on whoever opens it with PyTorch. This reader would not call them either way.
 */
const ATTACKS: readonly RegExp[] = [
  /^(?:os|posix|nt)\.(?:system|popen|exec|spawn|fork|posix_spawn|kill|remove|unlink|rmdir|rename|replace|startfile)/,
  /^(?:subprocess|runpy|pdb|bdb)\./,
  /^(?:pty\.spawn|timeit\.|importlib\.(?:import_module|reload)|ctypes\.CDLL|code\.interact)/,
  /^(?:socket\.(?:socket|create_connection)|shutil\.(?:rmtree|move)|webbrowser\.open)/,
  /^(?:builtins|__builtin__)\.(?:eval|exec|execfile|compile|open|file|print|input|apply|breakpoint|__import__)$/,
];

/** A block of elements that tensors are views of. */
export class TorchStorage extends PickleObject {
  override readonly kind = 'storage';
  /**
   * @param key name of the storage's data in the file.
   * @param className PyTorch's name of the storage class.
   * @param elements the class's elements.
   * @param count number of elements.
   */
  constructor(
    readonly key: string,
    readonly className: string,
    readonly elements: StorageClass,
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

/**
 * Interprets the names that a state_dict's pickle needs. Results of all other functions, and objects of all other
 * classes, are inert; see {@link ForeignObject}.
 */
export class TorchHost implements PickleHost {
  /** Storages by key, in the order in which the pickle names them. */
  readonly storages = new Map<string, TorchStorage>();

  readonly #functions = new Map<string, (args: readonly PickleValue[]) => PickleValue>([
    ['collections.OrderedDict', dictionary],
    ['collections.defaultdict', () => new Map()],
    ['builtins.dict', dictionary],
    ['__builtin__.dict', dictionary],
    ['torch._utils._rebuild_tensor_v2', rebuildTensor],
    ['torch._utils._rebuild_tensor', rebuildTensor],
    ['torch._utils._rebuild_parameter', rebuildParameter],
    ['torch._utils._rebuild_parameter_with_state', rebuildParameter],
    ['torch.nn.parameter.Parameter', rebuildParameter],
    ['torch._tensor._rebuild_from_type_v2', (args) => this.#rebuildFromType(args)],
    ['torch._utils._rebuild_tensor_v3', rebuildNewerType],
  ]);

  allow(name: string): void {
    if (!ATTACKS.some((attack) => attack.test(name))) return;
    throw new FormatProblem(
      `a call of ${JSON.stringify(name)}, which would run as soon as PyTorch loads the file: do not trust it`,
    );
  }

  call(name: string, args: readonly PickleValue[]): PickleValue {
    return this.#functions.get(name)?.(args) ?? new ForeignObject(name);
  }

  /** Takes `(function, class, arguments, state)`: a tensor with attributes, which are dropped. */
  #rebuildFromType([rebuild, , args]: readonly PickleValue[]): PickleValue {
    if (!(rebuild instanceof PickleGlobal) || !(args instanceof PickleTuple)) {
      throw new FormatProblem('a tensor made of something unknown');
    }
    // Not again: each level would be a call within a call.
    if (rebuild.name.includes('_rebuild_from_type')) return new ForeignObject(rebuild.name);
    return this.call(rebuild.name, args.items);
  }

  /**
   * Resolves `('storage', class, key, location, elements)`. Old files add a view: `(key, offset, elements)` or
   * None. In a whole model of the old format, `('module', class, file, source)` stands for the class.
   */
  persistent(id: PickleValue): PickleValue {
    const [tag, named, key, , count, view] = id instanceof PickleTuple ? id.items : [];
    if (tag === 'module' && named instanceof PickleGlobal) return named;
    const className =
      named instanceof PickleGlobal ? STORAGE_NAME.exec(named.name)?.[1] : undefined;
    const elements = STORAGES.get(className ?? '');
    if (
      tag !== 'storage' ||
      className === undefined ||
      elements === undefined ||
      typeof key !== 'string'
    ) {
      throw new FormatProblem('a pickle that refers to something else than a storage');
    }
    const storage = new TorchStorage(key, className, elements, natural(count, 'a storage size'));
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

/** Makes a dictionary: empty for pickles of Python 3, from a list of [key, value] for those of Python 2. */
function dictionary(args: readonly PickleValue[]): PickleDict | ForeignObject {
  const dict: PickleDict = new Map();
  const [items] = args;
  if (items === undefined) return dict;
  if (!Array.isArray(items)) return new ForeignObject('dict');
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

/** Takes `(storage, offset, shape, strides, requires_grad, hooks, dtype, metadata)`: a type without a storage class. */
function rebuildNewerType([, , , , , , dtype]: readonly PickleValue[]): ForeignObject {
  return new ForeignObject(`${dtype instanceof PickleGlobal ? dtype.name : 'unknown'} tensor`);
}

/** Takes `(tensor, requires_grad, hooks)`; further arguments are not needed. */
function rebuildParameter(args: readonly PickleValue[]): TorchTensor | ForeignObject {
  const [tensor] = args;
  if (tensor instanceof TorchTensor || tensor instanceof ForeignObject) return tensor;
  throw new FormatProblem('a parameter without a tensor');
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
