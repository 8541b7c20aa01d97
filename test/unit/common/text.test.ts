/** Holds: text in and out. Encodings of files, and names that would steer a terminal, a spreadsheet or a shell. */

import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { csvLine } from '../../../src/common/csv.js';
import { html } from '../../../src/common/html.js';
import { decodeJson } from '../../../src/common/json.js';
import { composed, decodeText, jsonLine, shellWord, visible } from '../../../src/common/text.js';
import { ROOT } from '../../support/paths.js';

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

function utf16(text: string, { big = false, mark = true } = {}): Uint8Array {
  const bytes = Buffer.from((mark ? '\uFEFF' : '') + text, 'utf16le');
  return Uint8Array.from(big ? bytes.swap16() : bytes);
}

describe('text of a file', () => {
  test.each([
    ['UTF-8', utf8('{"café": 1}')],
    ['UTF-8 with a byte order mark', utf8('\uFEFF{"café": 1}')],
    ['UTF-16 LE with a mark', utf16('{"café": 1}')],
    ['UTF-16 BE with a mark', utf16('{"café": 1}', { big: true })],
    ['UTF-16 LE without a mark', utf16('{"café": 1}', { mark: false })],
    ['UTF-16 BE without a mark', utf16('{"café": 1}', { big: true, mark: false })],
  ])('%s', (_, bytes) => {
    expect(decodeText(bytes)).toBe('{"café": 1}');
    expect(decodeJson(bytes)).toEqual({ café: 1 });
  });

  test('an empty file, and a mark alone, are empty text', () => {
    expect([utf8(''), utf8('\uFEFF'), utf16('')].map(decodeText)).toEqual(['', '', '']);
  });

  test.each([
    ['Latin-1', Uint8Array.of(0x63, 0x61, 0x66, 0xe9), 'bytes that are not UTF-8 text'],
    ['half of a UTF-16 character', Uint8Array.of(0xff, 0xfe, 0x41), 'not UTF-16LE text'],
    ['UTF-32', Uint8Array.of(0xff, 0xfe, 0, 0, 0x41, 0, 0, 0), 'UTF-32 text'],
  ])('%s is refused by name', (_, bytes, message) => {
    expect(() => decodeText(bytes)).toThrow(message);
  });

  test.each([
    ['{"a": 1', 'something that is not JSON'],
    ['', 'something that is not JSON'],
    ['{"a": 1, "a": 2}', '"a" twice in one object'],
  ])('JSON %s is refused', (text, message) => {
    expect(() => decodeJson(utf8(text))).toThrow(message);
  });
});

/** Names, and how people see them. */
const NAMES: readonly [name: string, shown: string][] = [
  ['a\nb', String.raw`a\nb`],
  ['a\r\tb', String.raw`a\r\tb`],
  ['\u001b[31mred\u001b[0m', String.raw`\x1b[31mred\x1b[0m`],
  ['\u009b2J', String.raw`\x9b2J`],
  ['\u0007\u007f', String.raw`\x07\x7f`],
  ['photo\u202egpj.exe', String.raw`photo\u202egpj.exe`],
  ['a\u2028b', String.raw`a\u2028b`],
  ['\ud800', String.raw`\ud800`],
];

describe('names that a terminal would obey', () => {
  test.each(NAMES)('%j is shown, not obeyed', (name, shown) => {
    expect(visible(name)).toBe(shown);
  });

  test('other names stay as they are', () => {
    for (const name of ['café', 'naïve 犬', '😀', 'a\\b', "it's", 'שלום']) {
      expect(visible(name)).toBe(name);
    }
  });

  test.each(NAMES.map(([name]) => name))(
    '%j in JSON is not obeyed, and parses to the same',
    (name) => {
      const line = jsonLine({ name });
      expect(visible(line)).toBe(line);
      expect(JSON.parse(line)).toEqual({ name });
    },
  );

  test.each(NAMES.map(([name]) => name))('%j in a page keeps line breaks and tabs only', (name) => {
    const { markup } = html`<b title="${name}">${name}</b>`;
    expect(visible(markup, '\n\t')).toBe(markup);
  });
});

test.each([
  ['a,b', '"a,b"'],
  ['say "x"', '"say ""x"""'],
  ['two\nlines', '"two\nlines"'],
  ['\u001b[31mred', String.raw`\x1b[31mred`],
  ['=HYPERLINK("x")', `"'=HYPERLINK(""x"")"`],
  ['@cmd', "'@cmd"],
  ['+cmd|x', "'+cmd|x"],
  ['-1', '-1'],
  ['-', '-'],
  ['+2.5', '+2.5'],
])('%j in a cell of CSV', (name, cell) => {
  expect(csvLine([name, -1, null])).toBe(`${cell},-1,\n`);
});

describe('words of a shell', () => {
  const words = [
    'run',
    'my page',
    "it's",
    '$HOME',
    '`id`',
    'a"b',
    'a\\b',
    'é',
    '!x',
    '*',
    ';ls',
    '~',
  ];

  test.each([
    ...words,
    'two\nlines',
    '\u001b[31m',
    '',
    "a'\n\\b",
    '\u0085x\u009b',
    '\\x85',
    'a\n\\x85',
  ])('bash reads %j back', (word) => {
    const read = execFileSync('bash', ['-c', `printf %s ${shellWord(word)}`], { encoding: 'utf8' });
    expect(read).toBe(word);
  });

  test('a leading dash does not make a flag', () => {
    expect([shellWord('-x y'), shellWord('--run')]).toEqual(["'./-x y'", './--run']);
  });

  test("Windows' shells get double quotes, and backslashes stay", () => {
    expect(shellWord('C:\\runs\\train-1', true)).toBe('C:\\runs\\train-1');
    expect(shellWord('C:\\my runs', true)).toBe('"C:\\my runs"');
  });

  test('messages of the library quote for the shell of the system', () => {
    const program = `
      Object.defineProperty(process, 'platform', { value: 'win32' });
      const { InterruptedError } = await import(process.argv[1]);
      console.log(new InterruptedError('my runs/a', 1).message);`;
    const module = pathToFileURL(path.join(ROOT, 'dist/src/common/errors.js')).href;
    const words = ['--input-type=module', '--eval', program, module];
    const env = { ...process.env, NODE_OPTIONS: '' };
    const said = execFileSync(process.execPath, words, { encoding: 'utf8', env });
    expect(said).toContain('--resume "my runs/a"');
  });
});

test.each(['cafe\u0301', 'A\u030a', '\u1112\u1161\u11ab'])(
  '%j composed is one character less',
  (name) => {
    expect(composed(name)).toBe(name.normalize('NFC'));
    expect(composed(name).length).toBeLessThan(name.length);
  },
);
