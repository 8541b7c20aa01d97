/**
 * Reading a state_dict that `torch.save` wrote, in its zip format (PyTorch 1.6 and later) or the stream of
 * pickles before it. Nothing in the file is executed; see pickle.ts.
 */

import { crc32 } from 'node:zlib';
import { type ByteSource, FormatProblem, parseFile } from '../byte-source.js';
import { unpickle } from './unpickle.js';
import { type PickleValue } from './pickle-machine.js';
import {
  decodeElements,
  ELEMENT_BYTES,
  elementCount,
  type ElementType,
  type Tensor,
} from '../../common/tensor.js';
import { TorchHost, type TorchStorage, TorchTensor } from './torch-objects.js';
import { isZip, readZipEntries } from './zip-entries.js';

/** Longest pickle accepted, in bytes: names and shapes only, 100 kB for the largest ResNet. */
const MAX_PICKLE_BYTES = 2 ** 24;

/**
 * Tensors may take this many times the file's size: float16 takes twice its own, and tied weights are copied.
 * Views that repeat a few elements endlessly (stride 0) end here.
 */
const MAX_EXPANSION = 8;

/** The first pickle of the format before PyTorch 1.6. */
const LEGACY_MAGIC = 0x1950a86a20f9469cfc6cn;
/** The same as opcode LONG1 and its operand, which comes within the file's first bytes. */
const LEGACY_MAGIC_BYTES = Buffer.from('8a0a6cfc9c46f9206aa85019', 'hex');
const LEGACY_MAGIC_WITHIN = 32;
const LEGACY_VERSION = 1001;

/** Keys that training scripts often store the state_dict under. */
const WRAPPERS = ['state_dict', 'model_state_dict', 'model'];

/** Where a storage's bytes are, and their CRC-32 if known. */
interface Location {
  readonly position: number;
  readonly bytes: number;
  readonly crc32: number | null;
}

interface OpenedPth {
  readonly root: PickleValue;
  readonly locate: (storage: TorchStorage) => Promise<Location>;
}

/**
 * The tensors of a state_dict, or of the one under the key `state_dict`, `model_state_dict` or `model`.
 * float16, bfloat16 and float64 become float32; int64 stays; entries that are not tensors are left out.
 *
 * @param input path, or the file's bytes.
 * @throws WeightsError if it is missing, damaged, needs more than a state_dict's names, or holds no tensors.
 */
export async function readPth(input: string | Uint8Array): Promise<Map<string, Tensor>> {
  return parseFile(
    input,
    "a state_dict saved by PyTorch's torch.save",
    'save it again with torch.save(model.state_dict(), FILE)',
    async (source) => {
      const { root, locate } = (await isZip(source))
        ? await openZip(source)
        : await openLegacy(source);
      return readTensors(source, stateDict(root), locate);
    },
  );
}

/** Whether a file is in one of PyTorch's formats, by its first bytes. */
export async function isPth(source: ByteSource): Promise<boolean> {
  const start = await source.read(0, Math.min(source.size, LEGACY_MAGIC_WITHIN));
  return (await isZip(source)) || startsAsLegacy(start);
}

function startsAsLegacy(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.subarray(0, LEGACY_MAGIC_WITHIN)).includes(LEGACY_MAGIC_BYTES);
}

/** `NAME/data.pkl` describes the tensors, `NAME/data/KEY` holds a storage each, `NAME/byteorder` says it. */
async function openZip(source: ByteSource): Promise<OpenedPth> {
  const zip = await readZipEntries(source);
  const pickles = [...zip.names].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  const [pickle] = pickles;
  if (pickle === undefined || pickles.length > 1) {
    throw new FormatProblem(`a zip archive with ${pickles.length} data.pkl`);
  }
  const folder = pickle.slice(0, pickle.indexOf('/'));
  const byteOrder = `${folder}/byteorder`;
  if (zip.names.has(byteOrder)) {
    const { position, bytes } = await zip.locate(byteOrder);
    const order = Buffer.from(await source.read(position, bytes)).toString('latin1', 0, 16);
    if (order !== 'little') throw new FormatProblem(`byte order ${JSON.stringify(order)}`);
  }
  const location = await zip.locate(pickle);
  if (location.bytes > MAX_PICKLE_BYTES) {
    throw new FormatProblem(`a pickle of ${location.bytes} bytes, where a state_dict needs few`);
  }
  const host = new TorchHost();
  const bytes = await readVerified(source, location, 'its data.pkl');
  const { value } = unpickle(bytes, 0, host);
  return { root: value, locate: (storage) => zip.locate(`${folder}/data/${storage.key}`) };
}

/** Five pickles (magic number, version, system, state_dict, keys), then each key's element count and data. */
async function openLegacy(source: ByteSource): Promise<OpenedPth> {
  const bytes = await source.read(0, Math.min(source.size, MAX_PICKLE_BYTES));
  if (!startsAsLegacy(bytes)) throw new FormatProblem("neither of PyTorch's formats");
  const host = new TorchHost();
  const magic = unpickle(bytes, 0, host);
  if (magic.value !== LEGACY_MAGIC) throw new FormatProblem('another magic number');
  const version = unpickle(bytes, magic.end, host);
  if (version.value !== LEGACY_VERSION) throw new FormatProblem('an unknown version of the format');
  const system = unpickle(bytes, version.end, host);
  const littleEndian = system.value instanceof Map && system.value.get('little_endian') === true;
  if (!littleEndian) throw new FormatProblem('data that is not little-endian');
  const root = unpickle(bytes, system.end, host);
  const keys = unpickle(bytes, root.end, host);
  if (!Array.isArray(keys.value)) throw new FormatProblem('no list of storages');

  const locations = new Map<string, Location>();
  let position = keys.end;
  for (const key of keys.value) {
    const storage = typeof key === 'string' ? host.storages.get(key) : undefined;
    if (storage === undefined) throw new FormatProblem('a storage that no tensor uses');
    const count = new DataView((await source.read(position, 8)).buffer).getBigInt64(0, true);
    const size = storage.count * ELEMENT_BYTES[elementType(storage)];
    position += 8;
    if (count !== BigInt(storage.count) || position + size > source.size) {
      throw new FormatProblem(
        `storage ${JSON.stringify(storage.key)} of ${storage.count} elements cut off or damaged`,
      );
    }
    locations.set(storage.key, { position, bytes: size, crc32: null });
    position += size;
  }
  return {
    root: root.value,
    locate: (storage) => {
      const location = locations.get(storage.key);
      return location === undefined
        ? Promise.reject(new FormatProblem(`no data for storage ${JSON.stringify(storage.key)}`))
        : Promise.resolve(location);
    },
  };
}

function stateDict(root: PickleValue): Map<string, TorchTensor> {
  let dict = root;
  for (const key of WRAPPERS) {
    const wrapped: PickleValue = dict instanceof Map ? (dict.get(key) ?? null) : null;
    if (wrapped instanceof Map) dict = wrapped;
  }
  if (!(dict instanceof Map)) throw new FormatProblem('something that is not a dictionary');
  const tensors = new Map<string, TorchTensor>();
  for (const [name, value] of dict) {
    if (typeof name === 'string' && value instanceof TorchTensor) tensors.set(name, value);
  }
  if (tensors.size === 0) {
    const keys = [...dict.keys()].filter((key) => typeof key === 'string').slice(0, 8);
    throw new FormatProblem(`a dictionary without tensors (its first keys: ${keys.join(', ')})`);
  }
  return tensors;
}

function elementType(storage: TorchStorage): ElementType {
  if (storage.type !== null) return storage.type;
  const known = Object.keys(ELEMENT_BYTES).join(', ');
  throw new FormatProblem(`a ${storage.className} (${known} can be read)`);
}

async function readTensors(
  source: ByteSource,
  dict: ReadonlyMap<string, TorchTensor>,
  locate: (storage: TorchStorage) => Promise<Location>,
): Promise<Map<string, Tensor>> {
  const storages = new Set([...dict.values()].map(({ storage }) => storage));
  let elements = 0;
  for (const { shape } of dict.values()) elements += elementCount(shape) ?? 0;
  for (const { count } of storages) elements += count;
  const limit = MAX_EXPANSION * source.size;
  if (elements > limit / ELEMENT_BYTES.float32) {
    throw new FormatProblem(`${elements} elements in ${source.size} bytes`);
  }
  const loaded = new Map<TorchStorage, Float32Array | BigInt64Array>();
  for (const storage of storages) {
    const type = elementType(storage);
    const location = await locate(storage);
    if (location.bytes !== storage.count * ELEMENT_BYTES[type]) {
      throw new FormatProblem(
        `${location.bytes} bytes for storage ${JSON.stringify(storage.key)} of ${storage.count} ${type}`,
      );
    }
    const what = `storage ${JSON.stringify(storage.key)}`;
    loaded.set(storage, decodeElements(type, await readVerified(source, location, what)));
  }
  const tensors = new Map<string, Tensor>();
  const handedOut = new Set<TorchStorage>();
  for (const [name, tensor] of dict) {
    const elementsOfStorage = loaded.get(tensor.storage);
    if (elementsOfStorage === undefined) continue;
    const whole = isWhole(tensor) && !handedOut.has(tensor.storage);
    if (whole) handedOut.add(tensor.storage);
    const data = whole ? elementsOfStorage : copyStrided(tensor, elementsOfStorage);
    const dtype = tensor.storage.type === 'int64' ? 'int64' : 'float32';
    tensors.set(name, { dtype, shape: tensor.shape, data });
  }
  return tensors;
}

async function readVerified(
  source: ByteSource,
  { position, bytes, crc32: expected }: Location,
  what: string,
): Promise<Uint8Array> {
  const data = await source.read(position, bytes);
  if (expected !== null && crc32(data) !== expected) {
    throw new FormatProblem(`${what} damaged (its CRC-32 differs)`);
  }
  return data;
}

/** Row-major over the whole storage, so that no copy is needed. */
function isWhole({ storage, offset, shape, strides }: TorchTensor): boolean {
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== stride) return false;
    stride *= shape[axis] ?? 1;
  }
  return offset === 0 && stride === storage.count;
}

/** The tensor's elements in row-major order, its last index running fastest. */
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
