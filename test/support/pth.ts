/** Writes `.pth` files as `torch.save` does, from plain values. */

import type { Tensor } from '../../src/common/tensor.js';
import { storedZip } from './stored-zip.js';

/** Raw opcodes that push one value. */
export class Opcodes {
  constructor(readonly bytes: Uint8Array) {}
}

/** Elements of a tensor: float32, float64, int64 or int8. */
type Elements = Float32Array | Float64Array | BigInt64Array | Int8Array;
export interface PthTensor {
  readonly shape: readonly number[];
  readonly data: Elements;
}
export type PthValue =
  | string
  | number
  | boolean
  | null
  | Opcodes
  | PthTensor
  | readonly PthValue[]
  | { readonly [key: string]: PthValue };

/** Returns the opcode that pushes a class or function. */
export function globalName(name: string): Buffer {
  const at = name.lastIndexOf('.');
  return Buffer.from(`c${name.slice(0, at)}\n${name.slice(at + 1)}\n`);
}

/** Returns opcodes for `CLASS(*args)` with `attributes`, as pickle writes objects. */
export function foreign(name: string, attributes: PthValue = {}, ...args: PthValue[]): Opcodes {
  const none = new Map<string, Elements>();
  const parts = [globalName(name), Buffer.from('('), ...args.map((arg) => encode(arg, none))];
  return new Opcodes(
    Buffer.concat([...parts, Buffer.from('tR'), encode(attributes, none), Buffer.from('b')]),
  );
}

function storageOf(data: Elements): string {
  if (data instanceof Float32Array) return 'torch.FloatStorage';
  if (data instanceof Float64Array) return 'torch.DoubleStorage';
  return data instanceof Int8Array ? 'torch.CharStorage' : 'torch.LongStorage';
}

function isTensor(value: object): value is PthTensor {
  return 'data' in value && ArrayBuffer.isView(value.data);
}

function encode(value: PthValue, storages: Map<string, Elements>): Buffer {
  if (value === null) return Buffer.from('N');
  if (typeof value === 'boolean') return Buffer.from([value ? 0x88 : 0x89]);
  if (typeof value === 'number') {
    const bytes = Buffer.alloc(5, 'J');
    bytes.writeInt32LE(value, 1);
    return bytes;
  }
  if (typeof value === 'string') {
    const text = Buffer.from(value);
    const head = Buffer.alloc(5, 'X');
    head.writeUInt32LE(text.length, 1);
    return Buffer.concat([head, text]);
  }
  if (value instanceof Opcodes) return Buffer.from(value.bytes);
  const inner = (items: readonly PthValue[]): Buffer[] =>
    items.map((item) => encode(item, storages));
  if (Array.isArray(value)) {
    return Buffer.concat([Buffer.from(']('), ...inner(value as PthValue[]), Buffer.from('e')]);
  }
  if (!isTensor(value)) {
    const items = Object.entries(value as Record<string, PthValue>).flat();
    return Buffer.concat([Buffer.from('}('), ...inner(items), Buffer.from('u')]);
  }
  const key = String(storages.size);
  storages.set(key, value.data);
  const strides = value.shape.map((_, axis) =>
    value.shape.slice(axis + 1).reduce((product, size) => product * size, 1),
  );
  return Buffer.concat([
    ...[globalName('torch._utils._rebuild_tensor_v2'), Buffer.from('((')],
    ...[encode('storage', storages), globalName(storageOf(value.data))],
    ...[...inner([key, 'cpu', value.data.length]), Buffer.from('tQ')],
    ...[encode(0, storages), Buffer.from('('), ...inner(value.shape), Buffer.from('t(')],
    ...[...inner(strides), Buffer.from('t'), encode(false, storages)],
    ...[globalName('collections.OrderedDict'), Buffer.from(')RtR')],
  ]);
}

/** Returns a `.pth` file in PyTorch's zip format. */
export function pthFile(content: PthValue): Buffer {
  const storages = new Map<string, Elements>();
  const pickle = Buffer.concat([
    Buffer.from([0x80, 2]),
    encode(content, storages),
    Buffer.from('.'),
  ]);
  const files: Record<string, Uint8Array> = { 'x/data.pkl': pickle };
  for (const [key, { buffer, byteOffset, byteLength }] of storages) {
    files[`x/data/${key}`] = new Uint8Array(buffer, byteOffset, byteLength);
  }
  return storedZip(files);
}

/** Returns tensors as a value for {@link pthFile}. */
export function stateValue(
  tensors: ReadonlyMap<string, Tensor>,
  prefix = '',
): Record<string, PthValue> {
  return Object.fromEntries(
    [...tensors].map(([name, { shape, data }]) => [prefix + name, { shape, data }]),
  );
}
