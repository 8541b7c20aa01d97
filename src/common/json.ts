/** JSON that may be damaged or hostile, and equality of its values. */

import { decodeText } from './text.js';

/** Parses JSON. Returns undefined if `text` is undefined or not JSON. */
export function parseJson(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? '');
  } catch {
    return undefined;
  }
}

/**
 * Parses the JSON in the bytes of a file, which {@link decodeText} reads.
 *
 * @throws Error that says in a few words what was found instead: another encoding, text that is not JSON, or an object
 *   with a key twice, whose first value would be lost.
 */
export function decodeJson(bytes: Uint8Array): unknown {
  const text = decodeText(bytes);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error('something that is not JSON');
  }
  const twice = duplicateKey(text);
  if (twice !== null) throw new Error(`${JSON.stringify(twice)} twice in one object`);
  return value;
}

/**
 * Returns the first key that occurs twice in one object, or null. `JSON.parse` accepts such text silently.
 *
 * @param text JSON that `JSON.parse` has accepted.
 */
export function duplicateKey(text: string): string | null {
  /** The keys seen so far, per open object; null for an open array. */
  const open: (Set<string> | null)[] = [];
  let literal = '';
  for (let i = 0; i < text.length; i++) {
    switch (text[i]) {
      case '"': {
        const end = endOfString(text, i);
        literal = text.slice(i, end);
        i = end - 1;
        break;
      }
      case ':': {
        const key = JSON.parse(literal) as string;
        const keys = open.at(-1);
        if (keys?.has(key) === true) return key;
        keys?.add(key);
        break;
      }
      case '{':
        open.push(new Set());
        break;
      case '[':
        open.push(null);
        break;
      case '}':
      case ']':
        open.pop();
        break;
    }
  }
  return null;
}

/** Returns the index after the closing quote of the string that opens at `start`. */
function endOfString(text: string, start: number): number {
  let i = start + 1;
  while (text[i] !== '"') i += text[i] === '\\' ? 2 : 1;
  return i + 1;
}

/** Checks whether two values from JSON are equal; the order of an object's keys does not count. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) {
    return Object.is(a, b);
  }
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const [left, right] = [new Map<string, unknown>(Object.entries(a)), Object.entries(b)];
  return (
    left.size === right.length &&
    right.every(([key, value]) => left.has(key) && sameJson(left.get(key), value))
  );
}
