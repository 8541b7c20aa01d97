/**
 * Reads a state_dict that `torch.save` wrote, in the zip format of PyTorch 1.6 and later or in the older
 * stream of pickles. Nothing in the file is executed; see unpickle.ts.
 */

import type { ByteSource, Platform, Zip, ZipEntry } from '../../platform/platform.js';
import { listSome } from '../../common/format.js';
import type { Tensor } from '../../common/tensor.js';
import { FormatProblem, parseFile } from '../byte-source.js';
import { printable, type TensorGroup } from '../contents.js';
import type { ForeignObject, PickleValue } from './pickle-machine.js';
import { type LocateStorage, readTensors, type StorageData } from './read-tensors.js';
import { findStateDicts, listEntries, type StateDict } from './state-dicts.js';
import { TorchHost, type TorchStorage, type TorchTensor } from './torch-objects.js';
import { unpickle } from './unpickle.js';

/** First bytes of a zip archive, as a little-endian uint32. */
const ZIP_MAGIC = 0x04034b50;

/** Longest pickle accepted, in bytes. It holds names and shapes only: 100 kB for the largest ResNet. */
const MAX_PICKLE_BYTES = 2 ** 24;

/** The first pickle of the format before PyTorch 1.6. */
const LEGACY_MAGIC = 0x1950a86a20f9469cfc6cn;
/** Its bytes: opcode LONG1, the length 10 and the number, one character per byte. */
const LEGACY_MAGIC_BYTES = '\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19';
/** They come within this many bytes from the start of the file. */
const LEGACY_MAGIC_WITHIN = 32;
const LEGACY_VERSION = 1001;

const EXPECTATION = {
  expected: "a state_dict saved by PyTorch's torch.save",
  advice: 'save it again with torch.save(model.state_dict(), FILE)',
};

/** A file whose pickles are read, but not yet its storages. */
interface OpenedPth {
  readonly root: PickleValue;
  readonly locate: LocateStorage;
}

/**
 * Opens a `.pth` file, and closes it after `use`.
 *
 * @param input path, or the file's bytes.
 * @param use takes the file's state_dicts, the outermost first, and reads tensors of one of them.
 * @throws WeightsError if it is missing or damaged, holds no tensors, or attacks whoever opens it with PyTorch.
 */
export async function openPth<T>(
  input: string | Uint8Array,
  { files, zip }: Pick<Platform, 'files' | 'zip'>,
  use: (groups: readonly TensorGroup[]) => Promise<T>,
): Promise<T> {
  return parseFile(input, files, EXPECTATION, async (source) => {
    const { root, locate } = (await isZip(source))
      ? await openZip(source, zip)
      : await openLegacy(source);
    return use(findStateDicts(root).map((found) => tensorGroup(found, source.size, locate)));
  });
}

function tensorGroup(found: StateDict, fileBytes: number, locate: LocateStorage): TensorGroup {
  const { path, beside, entries } = found;
  return {
    path,
    beside,
    tensors: listEntries(found),
    read: (names) => {
      const chosen = new Map<string, TorchTensor | ForeignObject>();
      for (const name of names) {
        const entry = entries.get(name);
        if (entry !== undefined) chosen.set(name, entry);
      }
      return readTensors(chosen, fileBytes, locate);
    },
  };
}

/**
 * Reads every tensor of the largest state_dict of a `.pth` file. Entries that are not tensors are left out.
 *
 * @param input path, or the file's bytes.
 * @throws WeightsError as {@link openPth}, and if a tensor has a type that cannot be read.
 */
export async function readPth(
  input: string | Uint8Array,
  platform: Pick<Platform, 'files' | 'zip'>,
): Promise<Map<string, Tensor>> {
  return openPth(input, platform, async (groups) => {
    const names = groups.map(({ tensors }) =>
      [...tensors].filter(([, { shape }]) => shape !== null).map(([name]) => name),
    );
    const most = Math.max(...names.map(({ length }) => length));
    const largest = names.findIndex(({ length }) => length === most);
    return (await groups[largest]?.read(names[largest] ?? [])) ?? new Map<string, Tensor>();
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
    const names = listSome([...zip.names].map(printable), 3);
    throw new FormatProblem(
      pickle === undefined
        ? `a zip archive of another program, without data.pkl (its files: ${names})`
        : `a zip archive with ${pickles.length} data.pkl`,
    );
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
    const size = storage.count * storage.elements.bytes;
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
