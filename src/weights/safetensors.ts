/**
 * The safetensors format: an 8-byte little-endian header length, a JSON header, then the tensors' bytes
 * without holes. Files may come from anywhere, so reading is strict.
 */

import { decodeElements, elementCount, formatShape, type Tensor } from '../common/tensor.js';
import type { ByteSource, Files } from '../platform/platform.js';
import { parseFile } from './byte-source.js';
import type { TensorGroup } from './contents.js';
import {
  dtypeOf,
  ELEMENT_TYPES,
  type Entry,
  LENGTH_BYTES,
  readHeader,
  typeProblem,
} from './safetensors-header.js';

const SPACE = 0x20;

const EXPECTATION = { expected: 'a safetensors file', advice: 'fetch it or save it again' };

/** Content of a safetensors file. */
export interface Safetensors {
  readonly tensors: Map<string, Tensor>;
  /** The header's `__metadata__`. */
  readonly metadata: Map<string, string>;
}

/**
 * Reads a safetensors file. F16, BF16 and F64 become float32; I64 stays int64; other types are refused.
 *
 * @param input path, or the file's bytes.
 * @throws WeightsError if it is missing, unreadable or not strictly a safetensors file.
 */
export async function readSafetensors(
  input: string | Uint8Array,
  files: Files,
): Promise<Safetensors> {
  return openSafetensors(input, files, async (group, metadata) => ({
    tensors: await group.read(group.tensors.keys()),
    metadata,
  }));
}

/**
 * Opens a safetensors file, and closes it after `use`.
 *
 * @param input path, or the file's bytes.
 * @param use takes the list of the tensors, and reads some of them.
 * @throws WeightsError as {@link readSafetensors}; for tensors of other types only if `use` reads them.
 */
export async function openSafetensors<T>(
  input: string | Uint8Array,
  files: Files,
  use: (group: TensorGroup, metadata: Map<string, string>) => Promise<T>,
): Promise<T> {
  return parseFile(input, files, EXPECTATION, async (source) => {
    const { entries, metadata, dataStart } = await readHeader(source);
    const byName = new Map(entries.map((entry) => [entry.name, entry]));
    const tensors = new Map(
      entries.map(({ name, type, shape }) => [name, { dtype: dtypeOf(type), shape }]),
    );
    const read: TensorGroup['read'] = async (names) => {
      const found = new Map<string, Tensor>();
      for (const name of names) {
        const entry = byName.get(name);
        if (entry !== undefined) found.set(name, await readTensor(source, dataStart, entry));
      }
      return found;
    };
    return use({ path: [], beside: [], tensors, read }, metadata);
  });
}

async function readTensor(
  source: ByteSource,
  dataStart: number,
  { name, type, shape, begin, end }: Entry,
): Promise<Tensor> {
  const readable = ELEMENT_TYPES.get(type);
  if (readable === undefined) throw typeProblem(`tensor ${JSON.stringify(name)}`, type);
  const data = decodeElements(readable, await source.read(dataStart + begin, end - begin));
  return { dtype: readable === 'int64' ? 'int64' : 'float32', shape, data };
}

/**
 * Encodes a safetensors file as chunks to be written one after the other. The tensors' data is viewed, not
 * copied, so it must not change until the chunks are written. Int64 tensors come first, because their larger
 * elements need the stricter alignment, then float32; each by name. Equal inputs give equal bytes.
 *
 * @throws RangeError if a tensor's data does not fill its shape.
 */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, Tensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array[] {
  const sorted = [...tensors].sort(
    ([nameA, a], [nameB, b]) =>
      b.data.BYTES_PER_ELEMENT - a.data.BYTES_PER_ELEMENT || (nameA < nameB ? -1 : 1),
  );
  const fields: string[] = [];
  if (Object.keys(metadata).length > 0) fields.push(`"__metadata__":${JSON.stringify(metadata)}`);
  const chunks: Uint8Array[] = [];
  let position = 0;
  for (const [name, { dtype, shape, data }] of sorted) {
    if (elementCount(shape) !== data.length || name === '__metadata__') {
      throw new RangeError(`cannot write tensor ${name} of shape ${formatShape(shape)}`);
    }
    const description = {
      dtype: dtype === 'int64' ? 'I64' : 'F32',
      shape,
      data_offsets: [position, position + data.byteLength],
    };
    fields.push(`${JSON.stringify(name)}:${JSON.stringify(description)}`);
    chunks.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    position += data.byteLength;
  }
  const json = new TextEncoder().encode(`{${fields.join(',')}}`);
  // Spaces keep the data aligned to 8 bytes.
  const length = Math.ceil(json.byteLength / LENGTH_BYTES) * LENGTH_BYTES;
  const header = new Uint8Array(LENGTH_BYTES + length).fill(SPACE);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(json, LENGTH_BYTES);
  return [header, ...chunks];
}
