/** Reads the storages of a `.pth` file and gives tensors their elements. */

import { FormatProblem } from '../byte-source.js';
import { printable } from '../contents.js';
import {
  decodeElements,
  ELEMENT_BYTES,
  elementCount,
  type ElementType,
  type Tensor,
} from '../../common/tensor.js';
import { ForeignObject } from './pickle-machine.js';
import { type TorchStorage, TorchTensor } from './torch-objects.js';

/** Reads the bytes of a storage, and checks them if the file has a checksum. */
export interface StorageData {
  readonly bytes: number;
  read(): Promise<Uint8Array>;
}

export type LocateStorage = (storage: TorchStorage) => Promise<StorageData>;

/**
 * Largest size of the tensors, as a multiple of the file's. float16 doubles in size and tied weights are
 * copied, so legitimate files grow; the limit refuses views that repeat a few elements endlessly (stride 0).
 */
const MAX_EXPANSION = 8;

/**
 * Reads tensors.
 *
 * @param fileBytes size of the file.
 * @throws FormatProblem if one is damaged, of another type, or an object.
 */
export async function readTensors(
  entries: ReadonlyMap<string, TorchTensor | ForeignObject>,
  fileBytes: number,
  locate: LocateStorage,
): Promise<Map<string, Tensor>> {
  const dict = onlyTensors(entries);
  checkSize(dict, fileBytes);
  const loaded = new Map<TorchStorage, Float32Array | BigInt64Array>();
  const tensors = new Map<string, Tensor>();
  const handedOut = new Set<TorchStorage>();
  for (const [name, tensor] of dict) {
    const { storage, shape } = tensor;
    const type = elementType(name, storage);
    const elements = loaded.get(storage) ?? (await readStorage(storage, type, locate));
    loaded.set(storage, elements);
    const whole = isWhole(tensor) && !handedOut.has(storage);
    if (whole) handedOut.add(storage);
    const data = whole ? elements : copyStrided(tensor, elements);
    tensors.set(name, { dtype: type === 'int64' ? 'int64' : 'float32', shape, data });
  }
  return tensors;
}

function onlyTensors(
  entries: ReadonlyMap<string, TorchTensor | ForeignObject>,
): Map<string, TorchTensor> {
  const tensors = new Map<string, TorchTensor>();
  for (const [name, value] of entries) {
    if (value instanceof ForeignObject) {
      const what = printable(value.className);
      throw new FormatProblem(`an object of ${what} in place of tensor ${printable(name)}`);
    }
    tensors.set(name, value);
  }
  return tensors;
}

function checkSize(dict: ReadonlyMap<string, TorchTensor>, fileBytes: number): void {
  const storages = new Set([...dict.values()].map(({ storage }) => storage));
  let elements = 0;
  for (const { shape } of dict.values()) elements += elementCount(shape) ?? 0;
  for (const { count } of storages) elements += count;
  if (elements > (MAX_EXPANSION * fileBytes) / ELEMENT_BYTES.float32) {
    throw new FormatProblem(`${elements} elements in ${fileBytes} bytes`);
  }
}

function elementType(name: string, { elements, className }: TorchStorage): ElementType {
  if (elements.type !== null) return elements.type;
  const known = Object.keys(ELEMENT_BYTES).join(', ');
  throw new FormatProblem(
    `tensor ${printable(name)} of ${elements.dtype} in ${className} (${known} can be read)`,
  );
}

async function readStorage(
  storage: TorchStorage,
  type: ElementType,
  locate: LocateStorage,
): Promise<Float32Array | BigInt64Array> {
  const location = await locate(storage);
  if (location.bytes !== storage.count * ELEMENT_BYTES[type]) {
    throw new FormatProblem(
      `${location.bytes} bytes for storage ${JSON.stringify(storage.key)} of ${storage.count} ${type}`,
    );
  }
  return decodeElements(type, await location.read());
}

/** Checks that a tensor is its whole storage in row-major order, so that no copy is needed. */
function isWhole({ storage, offset, shape, strides }: TorchTensor): boolean {
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== stride) return false;
    stride *= shape[axis] ?? 1;
  }
  return offset === 0 && stride === storage.count;
}

/** Copies the tensor's elements in row-major order: the last index runs fastest. */
function copyStrided<T extends Float32Array | BigInt64Array>(tensor: TorchTensor, from: T): T {
  const { shape, strides, offset } = tensor;
  const count = elementCount(shape) ?? 0;
  const to = new (from.constructor as new (length: number) => T)(count);
  const index = shape.map(() => 0);
  let position = offset;
  for (let i = 0; i < count; i++) {
    to[i] = from[position] ?? 0;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const next = (index[axis] ?? 0) + 1;
      position += strides[axis] ?? 0;
      index[axis] = next;
      if (next !== shape[axis]) break;
      index[axis] = 0;
      position -= next * (strides[axis] ?? 0);
    }
  }
  return to;
}
