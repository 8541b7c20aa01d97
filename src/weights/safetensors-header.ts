/**
 * The header of the safetensors format: names, types, shapes and positions of the tensors. Everything is checked
 * against the file's size before memory is allocated for it.
 */

import { duplicateKey } from '../common/json.js';
import { ELEMENT_BYTES, elementCount, type ElementType, formatShape } from '../common/tensor.js';
import type { ByteSource } from '../platform/platform.js';
import { FormatProblem } from './byte-source.js';
import { printable } from './contents.js';

/** Longest header accepted, in bytes; the limit of the format's reference implementation. */
const MAX_HEADER_BYTES = 100_000_000;
/** Bytes of the number in front of the header: its length. */
export const LENGTH_BYTES = 8;

/** Types that are read, by the format's names. */
export const ELEMENT_TYPES: ReadonlyMap<unknown, ElementType> = new Map([
  ['F16', 'float16'],
  ['BF16', 'bfloat16'],
  ['F32', 'float32'],
  ['F64', 'float64'],
  ['I64', 'int64'],
]);

/** Types that the format has and this reader has not, with PyTorch's name and bytes per element. */
const OTHER_TYPES: ReadonlyMap<unknown, readonly [dtype: string, bytes: number]> = new Map([
  ['BOOL', ['bool', 1] as const],
  ['U8', ['uint8', 1] as const],
  ['I8', ['int8', 1] as const],
  ['F8_E4M3', ['float8_e4m3fn', 1] as const],
  ['F8_E5M2', ['float8_e5m2', 1] as const],
  ['F8_E8M0', ['float8_e8m0fnu', 1] as const],
  ['U16', ['uint16', 2] as const],
  ['I16', ['int16', 2] as const],
  ['U32', ['uint32', 4] as const],
  ['I32', ['int32', 4] as const],
  ['U64', ['uint64', 8] as const],
  ['C64', ['complex64', 8] as const],
]);

/** A tensor as the header describes it; `begin` and `end` are byte offsets into the data. */
export interface Entry {
  readonly name: string;
  /** The header's name of the element type. */
  readonly type: string;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/** Reads and checks the header. `dataStart` is the position of the tensors' data. */
export async function readHeader(source: ByteSource): Promise<{
  entries: Entry[];
  metadata: Map<string, string>;
  dataStart: number;
}> {
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
  return { entries, metadata, dataStart };
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
  const readable = ELEMENT_TYPES.get(dtype);
  const bytes = readable === undefined ? OTHER_TYPES.get(dtype)?.[1] : ELEMENT_BYTES[readable];
  if (typeof dtype !== 'string' || bytes === undefined) throw typeProblem(what, dtype);
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
  if (count === null || count * bytes !== end - begin) {
    throw new FormatProblem(
      `${what} of shape ${formatShape(shape)}, type ${dtype} in ${end - begin} bytes`,
    );
  }
  return { name, type: dtype, shape, begin, end };
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

/** Returns PyTorch's name of an element type. */
export function dtypeOf(type: string): string {
  return ELEMENT_TYPES.get(type) ?? OTHER_TYPES.get(type)?.[0] ?? type;
}

/** Describes a tensor whose type is missing or cannot be read. */
export function typeProblem(what: string, type: unknown): FormatProblem {
  const known = [...ELEMENT_TYPES.keys()].join(', ');
  // Not String(type): it throws for some hostile values, such as deeply nested arrays.
  const found = typeof type === 'string' ? `of type ${printable(type)}` : 'without a type';
  return new FormatProblem(`${what} ${found} (${known} can be read)`);
}
