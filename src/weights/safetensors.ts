/**
 * The safetensors format: an 8-byte little-endian header length, a JSON header, then the tensors' bytes
 * without holes. Files may come from anywhere, so reading is strict: everything is checked against the
 * file's size before memory is allocated for it.
 */

import { FormatProblem, parseFile } from './byte-source.js';
import { duplicateKey } from '../common/json.js';
import type { ByteSource, Files } from '../platform/platform.js';
import {
  decodeElements,
  ELEMENT_BYTES,
  elementCount,
  type ElementType,
  formatShape,
  type Tensor,
} from '../common/tensor.js';

/** Longest header accepted, in bytes; the limit of the format's reference implementation. */
const MAX_HEADER_BYTES = 100_000_000;
const LENGTH_BYTES = 8;
const SPACE = 0x20;

const ELEMENT_TYPES: ReadonlyMap<unknown, ElementType> = new Map([
  ['F16', 'float16'],
  ['BF16', 'bfloat16'],
  ['F32', 'float32'],
  ['F64', 'float64'],
  ['I64', 'int64'],
]);

const EXPECTATION = { expected: 'a safetensors file', advice: 'fetch it or save it again' };

/** Content of a safetensors file. */
export interface Safetensors {
  readonly tensors: Map<string, Tensor>;
  /** The header's `__metadata__`. */
  readonly metadata: Map<string, string>;
}

/** A tensor as the header describes it; `begin` and `end` are byte offsets into the data. */
interface Entry {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
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
  return parseFile(input, files, EXPECTATION, parse);
}

async function parse(source: ByteSource): Promise<Safetensors> {
  if (source.size < LENGTH_BYTES) throw new FormatProblem(`only ${source.size} bytes`);
  const prefix = await source.read(0, LENGTH_BYTES);
  const declared = new DataView(prefix.buffer).getBigUint64(0, true);
  const limit = Math.min(MAX_HEADER_BYTES, source.size - LENGTH_BYTES);
  if (declared > BigInt(limit)) {
    throw new FormatProblem(`a header of ${declared.toString()} bytes where at most ${limit} fit`);
  }
  const header = parseHeader(await source.read(LENGTH_BYTES, Number(declared)));
  const dataStart = LENGTH_BYTES + Number(declared);
  const { entries, metadata } = readEntries(header);
  checkLayout(entries, source.size - dataStart);
  const tensors = new Map<string, Tensor>();
  for (const { name, type, shape, begin, end } of entries) {
    const data = decodeElements(type, await source.read(dataStart + begin, end - begin));
    tensors.set(name, { dtype: type === 'int64' ? 'int64' : 'float32', shape, data });
  }
  return { tensors, metadata };
}

function parseHeader(bytes: Uint8Array): object {
  let header: unknown;
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    header = JSON.parse(text);
  } catch {
    throw new FormatProblem('a header that is not JSON');
  }
  // JSON.parse takes the last of two equal keys, another reader may take the first.
  const duplicate = duplicateKey(text);
  if (duplicate !== null) {
    throw new FormatProblem(`${JSON.stringify(duplicate)} twice in the header`);
  }
  return asObject(header, 'a header');
}

function asObject(value: unknown, what: string): object {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new FormatProblem(`${what} that is not a JSON object`);
  }
  return value;
}

function readEntries(header: object): { entries: Entry[]; metadata: Map<string, string> } {
  const entries: Entry[] = [];
  const metadata = new Map<string, string>();
  // Safe for hostile names: JSON.parse makes "__proto__" an own property like any other.
  for (const [name, value] of Object.entries(header) as [string, unknown][]) {
    if (name !== '__metadata__') {
      entries.push(readEntry(name, value));
      continue;
    }
    for (const [key, text] of Object.entries(asObject(value, 'metadata')) as [string, unknown][]) {
      if (typeof text !== 'string') {
        throw new FormatProblem(`metadata ${JSON.stringify(key)} that is not a string`);
      }
      metadata.set(key, text);
    }
  }
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  return { entries, metadata };
}

function readEntry(name: string, value: unknown): Entry {
  const what = `tensor ${JSON.stringify(name)}`;
  const fields = new Map<string, unknown>(Object.entries(asObject(value, what)));
  const dtype = fields.get('dtype');
  const type = ELEMENT_TYPES.get(dtype);
  if (type === undefined) {
    const known = [...ELEMENT_TYPES.keys()].join(', ');
    // Not String(dtype): it throws for some hostile values, such as deeply nested arrays.
    const found = typeof dtype === 'string' ? `of type ${dtype}` : 'without a type';
    throw new FormatProblem(`${what} ${found} (${known} can be read)`);
  }
  const shape = naturals(fields.get('shape'), `${what} whose shape`);
  const offsets = naturals(fields.get('data_offsets'), `${what} whose data_offsets`);
  const [begin, end] = offsets;
  if (begin === undefined || end === undefined || offsets.length !== 2 || begin > end) {
    throw new FormatProblem(`${what} whose data_offsets are ${JSON.stringify(offsets)}`);
  }
  if (fields.size !== 3) {
    throw new FormatProblem(`${what} with other fields than dtype, shape and data_offsets`);
  }
  const count = elementCount(shape);
  if (count === null || count * ELEMENT_BYTES[type] !== end - begin) {
    throw new FormatProblem(
      `${what} of shape ${formatShape(shape)}, type ${type} in ${end - begin} bytes`,
    );
  }
  return { name, type, shape, begin, end };
}

function naturals(value: unknown, what: string): number[] {
  const isNatural = (item: unknown): boolean => Number.isSafeInteger(item) && (item as number) >= 0;
  if (!Array.isArray(value) || !value.every(isNatural)) {
    throw new FormatProblem(`${what} is not a list of natural numbers`);
  }
  return value as number[];
}

/** Checks that the tensors follow one another without hole or overlap and fill the file. */
function checkLayout(entries: readonly Entry[], dataBytes: number): void {
  let position = 0;
  for (const { name, begin, end } of entries) {
    if (begin !== position) {
      throw new FormatProblem(
        `tensor ${JSON.stringify(name)} at offset ${begin}, where the one before it ends at ${position}`,
      );
    }
    position = end;
  }
  if (position !== dataBytes) {
    throw new FormatProblem(`${dataBytes} bytes of data where its header describes ${position}`);
  }
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
