/** Finding repeated keys in JSON text, which `JSON.parse` accepts silently. */

/**
 * The first key that occurs twice in one object, or null.
 *
 * @param text JSON that `JSON.parse` has accepted.
 */
export function duplicateKey(text: string): string | null {
  /** Keys seen in each object that is open; null for an array. */
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

/** Index after the closing quote of the string that opens at `start`. */
function endOfString(text: string, start: number): number {
  let i = start + 1;
  while (text[i] !== '"') i += text[i] === '\\' ? 2 : 1;
  return i + 1;
}
