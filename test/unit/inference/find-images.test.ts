/** Holds: inputs are used, refused or named. The images that words of `predict` mean. */

import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ConfigError } from '../../../src/common/errors.js';
import type { DataRemark } from '../../../src/common/events.js';
import { findImages } from '../../../src/inference/find-images.js';

let dir: string;

const FILES = [
  'a/1.png',
  'a/2.JPG',
  'a/note.txt',
  'a/.hidden.png',
  'a/b/3.png',
  'a/b/c/4.png',
  'n/!a.png',
  ...['p/[.jpg', 'p/].jpg', 'p/0]a.jpg', 'p/[ab', 'p/a-b.jpg', 'p/z.jpg', 'p/a"$^.jpg', 'p/^^.jpg'],
  ...[
    'q/1.jpg',
    'q/._1.jpg',
    'q/1.jpg~',
    'q/.ipynb_checkpoints/2.jpg',
    'q/@eaDir/3.jpg',
    'q/Thumbs.db',
  ],
  'z/{x,y}.png',
  'z/[1].png',
  'z/1.png',
  'z/(1)+.png',
  'z/\u{1F600}.png',
  'z/\uFFFD.png',
];

function noInput(): AsyncIterable<Uint8Array> {
  return Readable.from([]);
}

/** Paths below the folder that the words mean. */
async function found(...words: string[]): Promise<string[]> {
  const names: string[] = [];
  for await (const { name, image } of findImages(
    words.map((word) => path.join(dir, word)),
    noInput(),
  )) {
    expect(image).toBe(name);
    names.push(path.relative(dir, name).replaceAll(path.sep, '/'));
  }
  return names;
}

beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'find-images-'));
  for (const file of FILES) {
    await mkdir(path.dirname(path.join(dir, file)), { recursive: true });
    await writeFile(path.join(dir, file), '');
  }
  await symlink(path.join(dir, 'a/b'), path.join(dir, 'z/link'), 'junction');
});
afterAll(async () => {
  await rm(dir, { recursive: true });
});

test.each([
  ['a/*.png', ['a/1.png']],
  ['a/.*.png', ['a/.hidden.png']],
  ['a/*', ['a/1.png', 'a/2.JPG', 'a/note.txt']],
  ['a/?.png', ['a/1.png']],
  ['a/[12].*', ['a/1.png', 'a/2.JPG']],
  ['a/[!1].*', ['a/2.JPG']],
  ['*/1.png', ['a/1.png', 'z/1.png']],
  ['a/**/*.png', ['a/1.png', 'a/b/3.png', 'a/b/c/4.png']],
  ['a/**', ['a/1.png', 'a/2.JPG', 'a/b/3.png', 'a/b/c/4.png', 'a/note.txt']],
  ['n/!*.png', ['n/!a.png']],
  ['a/**/c/*', ['a/b/c/4.png']],
  ['z/{x*.png', ['z/{x,y}.png']],
  ['z/(1)*', ['z/(1)+.png']],
  ['z/(1)+.*', ['z/(1)+.png']],
  ['*/{x,y}.png', ['z/{x,y}.png']],
  ['z/[^[({1]*.png', ['z/\uFFFD.png', 'z/\u{1F600}.png']],
])('the pattern %s', async (pattern, expected) => {
  expect(await found(pattern)).toEqual(expected);
});

test.each([
  ['p/[.jp*', ['p/[.jpg']],
  ['p/0]*.jpg', ['p/0]a.jpg']],
  ['p/?].*', []],
  ['p/?]*', ['p/0]a.jpg']],
  ['p/[[].jpg', ['p/[.jpg']],
  ['p/[]].jpg', ['p/].jpg']],
  ['p/[][].jpg', ['p/[.jpg', 'p/].jpg']],
  ['p/[!]a-z^]*.jpg', ['p/0]a.jpg', 'p/[.jpg']],
  ['p/[[]*b', ['p/[ab']],
  ['p/a[-b]b*', ['p/a-b.jpg']],
  ['p/[z]*', ['p/z.jpg']],
  ['p/[x-z]*', ['p/z.jpg']],
  ['p/[[:digit:]]*', ['p/0]a.jpg']],
  ['p/?"$^.*', ['p/a"$^.jpg']],
  ['p/^^.*', ['p/^^.jpg']],
  ['[pq]/[!]z.jpg', []],
  ['[p/z.j*', []],
])(
  'brackets of %s: pairs enclose characters, others stand for themselves',
  async (pattern, expected) => {
    const names = await found(pattern).catch((error: unknown) => {
      expect(error).toBeInstanceOf(ConfigError);
      expect((error as Error).message).toContain('expected a match of the pattern');
      return [];
    });
    expect(names).toEqual(expected);
  },
);

test.each(['[z-a]*', 'p/[9-0].jpg', 'p/[a-cz-y]?', '[[:nothing:]]*', '[b-a]/**/*.jpg'])(
  'the range in %s is refused plainly',
  async (pattern) => {
    await expect(found(pattern)).rejects.toThrow(ConfigError);
    await expect(found(pattern)).rejects.toThrow(
      /characters or ranges such as \[a-z\] .* found .* in \[/,
    );
  },
);

test('every combination of special characters is a match, no match or a refusal', async () => {
  for (const a of '[]!^-*?az') {
    for (const b of '[]!^-*?az') {
      for (const c of '[]!^-*?az') {
        const names = await found(`p/${a}${b}${c}*`).catch((error: unknown) => error);
        if (!(names instanceof ConfigError)) expect(names).toBeInstanceOf(Array);
      }
    }
  }
});

describe('hidden files and leftovers are left out, and named once', () => {
  const expected = ['"._1.jpg"', '"1.jpg~"', '"Thumbs.db"'];
  test.each([
    ['q', 5],
    ['q/*', 3],
    ['q/**', 5],
    ['q/**/*', 5],
    ['q/*.jp*', 2],
  ])('by %s', async (word, count) => {
    const remarks: DataRemark[] = [];
    const names: string[] = [];
    for await (const { name } of findImages([path.join(dir, word)], noInput(), (remark) => {
      remarks.push(remark);
    })) {
      names.push(path.relative(dir, name));
    }
    expect(names).toEqual(['q/1.jpg']);
    expect(remarks.map(({ reason }) => reason)).toEqual(['hidden', 'leftover']);
    expect(remarks.reduce((sum, remark) => sum + remark.count, 0)).toBe(count);
    const told = remarks.map(({ message }) => message).join('\n');
    for (const name of expected.slice(0, word === 'q/*.jp*' ? 2 : 3)) expect(told).toContain(name);
  });

  test('a pattern that begins with a dot means them', async () => {
    expect(await found('q/.*.jpg')).toEqual(['q/._1.jpg']);
    expect(await found('q/.ipynb*/*')).toEqual(['q/.ipynb_checkpoints/2.jpg']);
  });
});

test('a file whose name is a pattern is that file, and a missing file is left to the reader', async () => {
  expect(await found('z/[1].png', 'z/none.png')).toEqual(['z/[1].png', 'z/none.png']);
});

test('a folder means every image below it, behind links, too', async () => {
  expect(await found('a')).toEqual(['a/1.png', 'a/2.JPG', 'a/b/3.png', 'a/b/c/4.png']);
  expect(await found('z/link')).toEqual(['z/link/3.png', 'z/link/c/4.png']);
});

test('patterns follow links as folders do, and refuse a cycle', async () => {
  expect(await found('z/**/[34].png')).toEqual(['z/link/3.png', 'z/link/c/4.png']);
  expect(await found('z/*/3.png')).toEqual(['z/link/3.png']);
  expect(await found('*/../a/1.png')).toEqual(['a/1.png']);
  const loop = path.join(dir, 'loop');
  await mkdir(path.join(loop, 'in'), { recursive: true });
  await writeFile(path.join(loop, '1.png'), '');
  await symlink(loop, path.join(loop, 'in', 'up'), 'junction');
  await expect(found('loop/**/*.png')).rejects.toThrow(/without a cycle, found .*in.up, a link/);
  await expect(found('loop')).rejects.toThrow(/without a cycle, found .*in.up, a link/);
  await rm(loop, { recursive: true });
});

test('relative patterns keep their form', async () => {
  const before = process.cwd();
  process.chdir(dir);
  try {
    const names: string[] = [];
    for await (const { name } of findImages(['*/1.png', 'a/b/*'], noInput())) names.push(name);
    expect(names).toEqual(['a/1.png', 'z/1.png', 'a/b/3.png'].map((name) => path.normalize(name)));
  } finally {
    process.chdir(before);
  }
});

test.each(['none/*.png', 'a/*.gif', 'a/[.png'])('no match of %s is an error', async (pattern) => {
  await expect(found(pattern)).rejects.toThrow(ConfigError);
  await expect(found(pattern)).rejects.toThrow('expected a match of the pattern in');
});

describe('a list on standard input (holds: text in and out)', () => {
  const text = 'caf\u00e9/1.png\nb 2.png\n';
  const names = ['caf\u00e9/1.png', 'b 2.png'];

  test.each([
    ['UTF-8', Buffer.from(text), names],
    ['UTF-8 with a byte order mark', Buffer.from(`\uFEFF${text}`), names],
    ['UTF-16 with a byte order mark', Buffer.from(`\uFEFF${text}`, 'utf16le'), names],
    ['UTF-16 without one', Buffer.from(text, 'utf16le'), names],
    ['line breaks of Windows', Buffer.from(text.replaceAll('\n', '\r\n')), names],
    [
      'names ended by NUL, with a line break in one',
      Buffer.from('a\nb.png\0c.png\0'),
      ['a\nb.png', 'c.png'],
    ],
    ...[['a'], ['a', 'b', 'c'], ['a', 'bbb'], ['a', 'b.png', 'caf\u00e9'], ['7', 'x/y', 'z']].map(
      (list): [string, Buffer, string[]] => [
        `names ended by NUL, the first of one letter: ${list.join(', ')}`,
        Buffer.from(list.map((name) => `${name}\0`).join('')),
        list,
      ],
    ),
    [
      'UTF-16 without a mark and of one-letter names',
      Buffer.from('a\r\nb\r\n', 'utf16le'),
      ['a', 'b'],
    ],
    [
      'one file in UTF-16 without a mark or a line break',
      Buffer.from(fileURLToPath(import.meta.url), 'utf16le'),
      [fileURLToPath(import.meta.url)],
    ],
  ])('%s', async (_, bytes, expected) => {
    const found: string[] = [];
    for await (const { name } of findImages(['-'], Readable.from([bytes]))) found.push(name);
    expect(found).toEqual(expected);
  });

  test('a list in Latin-1 is refused, and not called a broken image', async () => {
    const bytes = Buffer.from('caf\u00e9/1.png\n', 'latin1');
    const read = async (): Promise<void> => {
      for await (const one of findImages(['-'], Readable.from([bytes]))) expect(one).toBeNull();
    };
    await expect(read).rejects.toThrow('found bytes that are not UTF-8 text');
  });

  test.each([
    ['a PGM that is text', Buffer.from('P2\n# a comment\n2 1\n255\n0 9\n')],
    ['a JPEG', Buffer.of(0xff, 0xd8, 0xff, 0xe0, 0, 0x10)],
    ['an icon, whose bytes could be text', Buffer.of(0, 0, 1, 0, 1, 0)],
  ])('%s is an image', async (_, bytes) => {
    const found = [];
    for await (const one of findImages(['-'], Readable.from([bytes]))) found.push(one);
    expect(found).toEqual([{ name: '-', image: Uint8Array.from(bytes) }]);
  });
});

test.each([
  ['no bytes', ''],
  ['an empty line', '\n'],
  ['empty lines of Windows', '\r\n\r\n'],
])('nothing on standard input is refused: %s', async (_, text) => {
  const names = findImages(['-'], Readable.from([Buffer.from(text)]));
  await expect(names.next()).rejects.toThrow(
    'expected an image or a list of paths on standard input, found nothing; check the command',
  );
});

test('an empty path is refused, not looked for', async () => {
  const names = findImages([''], noInput());
  await expect(names.next()).rejects.toThrow('got an empty one; check the variable');
});
