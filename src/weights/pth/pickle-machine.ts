/** The stack, the memo and the values of a pickle, with every access checked. See unpickle.ts for the opcodes. */

import { FormatProblem } from '../byte-source.js';

/** A value that a pickle may hold. */
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

/** A tuple; plain arrays are lists. */
export class PickleTuple {
  constructor(readonly items: readonly PickleValue[]) {}
}

export type PickleDict = Map<PickleValue, PickleValue>;

/** A function or class that a pickle names and the host allowed; `name` is `module.name`. */
export class PickleGlobal {
  constructor(readonly name: string) {}
}

/** Base of the objects that a host makes. */
export abstract class PickleObject {
  /** Name of the class, so that TypeScript tells the host's classes apart. */
  abstract readonly kind: string;
}

/**
 * An object of a class that is not known, such as `argparse.Namespace`. It keeps the name of its class and nothing
 * else: its arguments, attributes and items are dropped, so it can do nothing.
 */
export class ForeignObject extends PickleObject {
  override readonly kind = 'foreign';

  /** @param className `module.name` of the class, or of the function whose result it would be. */
  constructor(readonly className: string) {
    super();
  }
}

/** Gives the names in a pickle their meaning. Each method throws FormatProblem to refuse. */
export interface PickleHost {
  /** Checks a global that the pickle names, before anything is done with it. */
  allow(name: string): void;
  /** Computes the result of a function that {@link allow} accepted; a {@link ForeignObject} if it is not known. */
  call(name: string, args: readonly PickleValue[]): PickleValue;
  /** Resolves a reference to data outside the pickle. */
  persistent(id: PickleValue): PickleValue;
}

/** Sets an item of a dictionary. @throws FormatProblem for a key that Python cannot hash either. */
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

/** The state of a pickle that is being read. */
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

  /** Removes and returns the topmost `count` values. As in Python, it never reaches below the last mark. */
  popMany(count: number): PickleValue[] {
    if (this.#stack.length - (this.#marks.at(-1) ?? 0) < count) {
      throw new FormatProblem('a pickle that takes more values than it made');
    }
    return this.#stack.splice(this.#stack.length - count, count);
  }

  pop(): PickleValue {
    return this.popMany(1)[0] ?? null;
  }

  /** Removes the last mark and the values above it, and returns these. */
  popToMark(): PickleValue[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw new FormatProblem('a pickle without the mark it refers to');
    return this.#stack.splice(mark);
  }

  /** Returns the topmost value and leaves it in place. */
  top(): PickleValue {
    const value = this.pop();
    this.push(value);
    return value;
  }

  /** Appends to the topmost value: a list, or a foreign object, which drops the items. */
  append(items: readonly PickleValue[]): void {
    const list = this.top();
    if (list instanceof ForeignObject) return;
    if (!Array.isArray(list)) throw new FormatProblem('a pickle that appends to no list');
    for (const item of items) list.push(item);
  }

  /** Sets key, value, key, value ... in the topmost value: a dictionary, or a foreign object, which drops them. */
  setItems(items: readonly PickleValue[]): void {
    const dict = this.top();
    if (dict instanceof ForeignObject) return;
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

  /** Reads a length; it is exact up to 2^53, and no pickle is as long. */
  uint64(): number {
    return Number(this.#view.getBigUint64(this.skip(8), true));
  }

  int32(): number {
    return this.#view.getInt32(this.skip(4), true);
  }

  /** Reads a double; it is big-endian, unlike everything else in a pickle. */
  float64(): number {
    return this.#view.getFloat64(this.skip(8), false);
  }

  /** Reads a little-endian two's complement integer of `length` bytes; returns a number if that is exact. */
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

  /** Reads text up to the next newline, and skips the newline. */
  line(): string {
    const end = this.#bytes.indexOf(NEWLINE, this.position);
    if (end < 0) throw new FormatProblem('a pickle that is cut off');
    const text = this.text(end - this.position);
    this.position = end + 1;
    return text;
  }

  /** Skips `length` bytes of data that are not needed, and pushes an object in their place. */
  pushForeign(className: string, length = 0): void {
    this.skip(length);
    this.push(new ForeignObject(className));
  }

  /** Skips `length` bytes and returns the position of the first. */
  skip(length: number): number {
    const start = this.position;
    if (start + length > this.#bytes.byteLength)
      throw new FormatProblem('a pickle that is cut off');
    this.position += length;
    return start;
  }
}
