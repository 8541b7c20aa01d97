/** The values, the stack and the memo of a pickle, with every access checked. See pickle.ts for the opcodes. */

import { FormatProblem } from '../byte-source.js';

export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | PickleValue[]
  | PickleTuple
  | PickleDict
  | PickleGlobal
  | PickleObject;

export class PickleTuple {
  constructor(readonly items: readonly PickleValue[]) {}
}

export type PickleDict = Map<PickleValue, PickleValue>;

/** A function or class the host allowed; `name` is `module.name`. */
export class PickleGlobal {
  constructor(readonly name: string) {}
}

/** Base of what a host makes. */
export abstract class PickleObject {
  /** Tells the host's classes from plain values and from each other. */
  abstract readonly kind: string;
}

/** The meaning of names. Each method throws FormatProblem to refuse. */
export interface PickleHost {
  /** Called for each global the pickle names, before anything is done with it. */
  allow(name: string): void;
  call(name: string, args: readonly PickleValue[]): PickleValue;
  persistent(id: PickleValue): PickleValue;
}

/** @throws FormatProblem for a key that Python, too, cannot hash. */
export function setItem(
  dict: PickleDict,
  key: PickleValue = null,
  value: PickleValue = null,
): void {
  if (Array.isArray(key) || key instanceof Map) {
    throw new FormatProblem('a pickle with a list or a dictionary as a key');
  }
  dict.set(key, value);
}

const NEWLINE = 0x0a;
const UTF8 = new TextDecoder();

export class PickleMachine {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #stack: PickleValue[] = [];
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, PickleValue>();

  /** @param position of the next byte to read. */
  constructor(
    bytes: Uint8Array,
    public position: number,
    readonly host: PickleHost,
  ) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  push(value: PickleValue): void {
    this.#stack.push(value);
  }

  mark(): void {
    this.#marks.push(this.#stack.length);
  }

  /** The topmost `count` values. As in Python, an opcode never reaches below the last mark. */
  popMany(count: number): PickleValue[] {
    if (this.#stack.length - (this.#marks.at(-1) ?? 0) < count) {
      throw new FormatProblem('a pickle that takes more values than it made');
    }
    return this.#stack.splice(this.#stack.length - count, count);
  }

  pop(): PickleValue {
    return this.popMany(1)[0] ?? null;
  }

  popToMark(): PickleValue[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw new FormatProblem('a pickle without the mark it refers to');
    return this.#stack.splice(mark);
  }

  /** The topmost value, left in place. */
  top(): PickleValue {
    const value = this.pop();
    this.push(value);
    return value;
  }

  /** Appends to the list that is on top. */
  append(items: readonly PickleValue[]): void {
    const list = this.top();
    if (!Array.isArray(list)) throw new FormatProblem('a pickle that appends to no list');
    for (const item of items) list.push(item);
  }

  /** Sets key, value, key, value ... in the dictionary that is on top. */
  setItems(items: readonly PickleValue[]): void {
    const dict = this.top();
    if (!(dict instanceof Map) || items.length % 2 !== 0) {
      throw new FormatProblem('a pickle that sets items of no dictionary');
    }
    for (let i = 0; i < items.length; i += 2) setItem(dict, items[i], items[i + 1]);
  }

  /** Stores the topmost value under `index`, by default the next free one. */
  memoize(index = this.#memo.size): void {
    this.#memo.set(index, this.top());
  }

  recall(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) throw new FormatProblem('a pickle that recalls what it never stored');
    this.push(value);
  }

  /** Pushes the global `module.name`, if the host allows it. */
  global(module: PickleValue | undefined, name: PickleValue | undefined): void {
    if (typeof module !== 'string' || typeof name !== 'string') {
      throw new FormatProblem('a pickle that names a global by something else than a string');
    }
    const global = `${module}.${name}`;
    this.host.allow(global);
    this.push(new PickleGlobal(global));
  }

  uint8(): number {
    return this.#view.getUint8(this.skip(1));
  }

  uint16(): number {
    return this.#view.getUint16(this.skip(2), true);
  }

  uint32(): number {
    return this.#view.getUint32(this.skip(4), true);
  }

  int32(): number {
    return this.#view.getInt32(this.skip(4), true);
  }

  /** Big-endian, unlike everything else in a pickle. */
  float64(): number {
    return this.#view.getFloat64(this.skip(8), false);
  }

  /** Little-endian two's complement of `length` bytes; a number where that is exact. */
  long(length: number): number | bigint {
    const start = this.skip(length);
    let value = 0n;
    for (let i = 0; i < length; i++) {
      value |= BigInt(this.#view.getUint8(start + i)) << BigInt(8 * i);
    }
    value = BigInt.asIntN(8 * length, value);
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }

  text(length: number): string {
    const start = this.skip(length);
    return UTF8.decode(this.#bytes.subarray(start, start + length));
  }

  /** Text up to the next newline, which is passed over. */
  line(): string {
    const end = this.#bytes.indexOf(NEWLINE, this.position);
    if (end < 0) throw new FormatProblem('a pickle that is cut off');
    const text = this.text(end - this.position);
    this.position = end + 1;
    return text;
  }

  /** Passes over `length` bytes and returns the position of the first. */
  skip(length: number): number {
    const start = this.position;
    if (start + length > this.#bytes.byteLength)
      throw new FormatProblem('a pickle that is cut off');
    this.position += length;
    return start;
  }
}
