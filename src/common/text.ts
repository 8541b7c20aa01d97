/** Text that comes from outside: files of any common encoding, and names that may hold any character. */

const UTF8_MARK = '\uFEFF';

/**
 * Returns the text of a file. UTF-8 is read with or without a byte order mark, UTF-16 of either byte order with a
 * mark, or without one if the text begins with an ASCII character. Windows writes all of these.
 *
 * @throws Error that says in a few words what the bytes are, for other encodings and for bytes that are not text.
 * @example
 * decodeText(Uint8Array.of(0xff, 0xfe, 0x41, 0x00)); // 'A'
 */
export function decodeText(bytes: Uint8Array): string {
  const encoding = encodingOf(bytes);
  try {
    const text = new TextDecoder(encoding, { fatal: true, ignoreBOM: true }).decode(bytes);
    return text.startsWith(UTF8_MARK) ? text.slice(1) : text;
  } catch {
    const shown = encoding.toUpperCase();
    throw new Error(`bytes that are not ${shown} text (save the file as UTF-8)`);
  }
}

function encodingOf(bytes: Uint8Array): 'utf-8' | 'utf-16le' | 'utf-16be' {
  const [first = -1, second = -1, third = -1, fourth = -1] = bytes;
  if (first === 0xff && second === 0xfe) {
    if (third === 0 && fourth === 0) throw new Error('UTF-32 text (save the file as UTF-8)');
    return 'utf-16le';
  }
  if (first === 0xfe && second === 0xff) return 'utf-16be';
  if (bytes.length % 2 === 0 && first > 0 && second === 0) return 'utf-16le';
  if (bytes.length % 2 === 0 && first === 0 && second > 0) return 'utf-16be';
  return 'utf-8';
}

/** Returns text in Unicode's composed form (NFC), in which names that look the same are the same. */
export function composed(text: string): string {
  return text.normalize('NFC');
}

/**
 * Characters that a terminal obeys or that change how the text around them is shown: control characters, line and
 * paragraph separators, direction marks and overrides, and halves of surrogate pairs.
 */
const OBEYED = /[\p{Control}\p{Surrogate}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/gu;

const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/**
 * Returns text for people in which no character is obeyed: a line break becomes `\n`, an escape `\x1b`, a direction
 * override `\u202e`. A name can then not break a line, colour a terminal or reorder what follows.
 *
 * @param kept characters to leave as they are, such as the line breaks of a page.
 * @example
 * visible('a\u001b[31mb'); // 'a\\x1b[31mb'
 */
export function visible(text: string, kept = ''): string {
  return text.replace(OBEYED, (character) =>
    kept.includes(character) ? character : (SHORT[character] ?? escaped(character)),
  );
}

function escaped(character: string): string {
  const code = character.charCodeAt(0).toString(16);
  return code.length <= 2 ? `\\x${code.padStart(2, '0')}` : `\\u${code.padStart(4, '0')}`;
}

/**
 * Returns a value as one line of JSON. Characters that a terminal obeys are written as escapes of JSON, so that the
 * line can be printed and still parses to the same value.
 */
export function jsonLine(value: unknown): string {
  return JSON.stringify(value).replace(
    OBEYED,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** Whether people type commands into a shell of Windows. A browser has no process, and no shell. */
const ON_WINDOWS =
  (globalThis as { process?: { platform?: string } }).process?.platform === 'win32';

/**
 * Returns a word as it can be typed on a command line.
 *
 * POSIX shells get single quotes, in which nothing is special, or `$'…'` if the word holds control characters.
 * Windows' shells get double quotes.
 *
 * @param windows whether the shell is one of Windows. Default: whether the program runs there.
 * @example
 * shellWord('my page'); // "'my page'"
 */
export function shellWord(word: string, windows = ON_WINDOWS): string {
  const safe = windows ? /^[\w./\\:-]+$/ : /^[\w./:-]+$/;
  // A leading dash would be read as a flag.
  const text = word.startsWith('-') ? `./${word}` : word;
  if (safe.test(text)) return text;
  if (windows) return `"${text.replaceAll('"', '""')}"`;
  if (visible(text) === text) return `'${text.replaceAll("'", String.raw`'\''`)}'`;
  return `$'${text.replaceAll(/[\\']/g, '\\$&').replace(OBEYED, shellEscape)}'`;
}

/** Returns a character as `$'…'` of a POSIX shell takes it. There `\x85` is one byte, and `\u0085` a character. */
function shellEscape(character: string): string {
  if (character < '\u0080') return SHORT[character] ?? escaped(character);
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
