/**
 * Reads a state_dict that `torch.save` wrote, in the zip format of PyTorch 1.6 and later or in the older
 * stream of pickles. Nothing in the file is executed; see unpickle.ts.
 */

import type { ByteSource, Platform, Zip, ZipEntry } from '../../platform/platform.js';
import { FormatProblem, parseFile } from '../byte-source.js';
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

/** First bytes of a zip archive, as a little-endian uint32. */
const ZIP_MAGIC = 0x04034b50;

/** Longest pickle accepted, in bytes. It holds names and shapes only: 100 kB for the largest ResNet. */
const MAX_PICKLE_BYTES = 2 ** 24;

/**
 * Largest size of the tensors, as a multiple of the file's. float16 doubles in size and tied weights are
 * copied, so legitimate files grow; the limit refuses views that repeat a few elements endlessly (stride 0).
 */
const MAX_EXPANSION = 8;

/** The first pickle of the format before PyTorch 1.6. */
const LEGACY_MAGIC = 0x1950a86a20f9469cfc6cn;
/** Its bytes: opcode LONG1, the length 10 and the number, one character per byte. */
const LEGACY_MAGIC_BYTES = '\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19';
/** They come within this many bytes from the start of the file. */
const LEGACY_MAGIC_WITHIN = 32;
const LEGACY_VERSION = 1001;

/** Keys under which training scripts often store the state_dict. */
const WRAPPERS = ['state_dict', 'model_state_dict', 'model'];

const EXPECTATION = {
  expected: "a state_dict saved by PyTorch's torch.save",
  advice: 'save it again with torch.save(model.state_dict(), FILE)',
};

/** Reads the bytes of a storage, and checks them if the file has a checksum. */
interface StorageData {
  readonly bytes: number;
  read(): Promise<Uint8Array>;
}

/** A file whose pickles are read, but not yet its storages. */
interface OpenedPth {
  readonly root: PickleValue;
  readonly locate: (storage: TorchStorage) => Promise<StorageData>;
}

/**
 * Reads the tensors of a state_dict, or of the one under the key `state_dict`, `model_state_dict` or `model`.
 * float16, bfloat16 and float64 become float32; int64 stays; entries that are not tensors are left out.
 *
 * @param input path, or the file's bytes.
 * @throws WeightsError if it is missing, damaged, needs more than a state_dict's names, or holds no tensors.
 */
export async function readPth(
  input: string | Uint8Array,
  { files, zip }: Pick<Platform, 'files' | 'zip'>,
): Promise<Map<string, Tensor>> {
  return parseFile(input, files, EXPECTATION, async (source) => {
    const { root, locate } = (await isZip(source))
      ? await openZip(source, zip)
      : await openLegacy(source);
    return readTensors(source, stateDict(root), locate);
  });
}

/** Checks by its first bytes whether a file is in one of PyTorch's formats. */
export async function isPth(source: ByteSource): Promise<boolean> {
  const start = await source.read(0, Math.min(source.size, LEGACY_MAGIC_WITHIN));
  return (await isZip(source)) || startsAsLegacy(start);
}

async function isZip(source: ByteSource): Promise<boolean> {
  if (source.size < 4) return false;
  return new DataView((await source.read(0, 4)).buffer).getUint32(0, true) === ZIP_MAGIC;
}

function startsAsLegacy(bytes: Uint8Array): boolean {
  return characters(bytes.subarray(0, LEGACY_MAGIC_WITHIN)).includes(LEGACY_MAGIC_BYTES);
}

/** Returns one character per byte. */
function characters(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

/**
 * Opens the zip format: `NAME/data.pkl` describes the tensors, `NAME/data/KEY` holds one storage, and
 * `NAME/byteorder`, if it exists, says `little`.
 */
async function openZip(source: ByteSource, archives: Zip): Promise<OpenedPth> {
  const zip = await archives.open(source);
  const pickles = [...zip.names].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  const [pickle] = pickles;
  if (pickle === undefined || pickles.length > 1) {
    throw new FormatProblem(`a zip archive with ${pickles.length} data.pkl`);
  }
  const folder = pickle.slice(0, pickle.indexOf('/'));
  const byteOrder = `${folder}/byteorder`;
  if (zip.names.has(byteOrder)) {
    const { position, bytes } = await zip.locate(byteOrder);
    const order = characters((await source.read(position, bytes)).subarray(0, 16));
    if (order !== 'little') throw new FormatProblem(`byte order ${JSON.stringify(order)}`);
  }
  const location = await zip.locate(pickle);
  if (location.bytes > MAX_PICKLE_BYTES) {
    throw new FormatProblem(`a pickle of ${location.bytes} bytes, where a state_dict needs few`);
  }
  const readVerified = async (entry: ZipEntry, what: string): Promise<Uint8Array> => {
    const data = await source.read(entry.position, entry.bytes);
    if (entry.crc32 === null || archives.crc32(data) === entry.crc32) return data;
    throw new FormatProblem(`${what} damaged (its CRC-32 differs)`);
  };
  const { value } = unpickle(await readVerified(location, 'its data.pkl'), 0, new TorchHost());
  const locate = async ({ key }: TorchStorage): Promise<StorageData> => {
    const entry = await zip.locate(`${folder}/data/${key}`);
    const what = `storage ${JSON.stringify(key)}`;
    return { bytes: entry.bytes, read: () => readVerified(entry, what) };
  };
  return { root: value, locate };
}

/**
 * Opens the older format: five pickles (magic number, version, system, state_dict, keys), then the element
 * count and the data of each key.
 */
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

  const locations = new Map<string, StorageData>();
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
    const start = position;
    locations.set(storage.key, { bytes: size, read: () => source.read(start, size) });
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

/** Returns the tensors of the dictionary, or of the one it wraps. */
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
  locate: OpenedPth['locate'],
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
    loaded.set(storage, decodeElements(type, await location.read()));
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
