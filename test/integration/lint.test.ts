/** Each rule of the project's own lint finds a planted violation, and leaves code that keeps it alone. */

import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ROOT } from '../support/paths.js';

const run = promisify(execFile);
const lines = (count: number, line: string): string => `${line}\n`.repeat(count);

/** Declares functions of node:fs, whose types the small project lacks. */
const MAKES_FOLDERS = `export declare function mkdir(dir: string, options?: object): void;
export declare const host: { deep: boolean; fs: { mkdirSync: typeof mkdir } };
`;

/** Files of a small project, by path: their text, and the rules that they break. */
const PLANTED: Readonly<Record<string, { text: string; rules?: readonly string[] }>> = {
  'src/common/clean.ts': { text: 'export const one = (): number => 1;\n' },
  'src/train/downwards.ts': {
    text: `import { one } from '../common/clean.js';\nexport const two = (): number => one() + one();\n`,
  },
  'src/common/upwards.ts': {
    text: `export { two } from '../train/downwards.js';\n`,
    rules: ['import-x/no-restricted-paths'],
  },
  'src/session/upwards-by-type.ts': {
    text: `import type { two } from '../train/downwards.js';\nexport type Two = typeof two;\n`,
    rules: ['import-x/no-restricted-paths'],
  },
  'src/images/clean.ts': { text: `export { one } from '../common/clean.js';\n` },
  'src/session/sideways.ts': {
    text: `export { one } from '../images/clean.js';\n`,
    rules: ['import-x/no-restricted-paths'],
  },
  'src/platform/node/clean.ts': { text: `export { one } from '../../common/clean.js';\n` },
  'src/train/knows-node.ts': {
    text: `export { one } from '../platform/node/clean.js';\n`,
    rules: ['import-x/no-restricted-paths'],
  },
  'src/common/partly-used.ts': {
    text: 'export const used = 1;\nexport const unused = 2;\nexport type Unused = number;\n',
  },
  'src/index.ts': {
    text: `export { two } from './train/downwards.js';\nexport { used } from './common/partly-used.js';\n`,
  },
  'src/cli/from-index.ts': {
    text: `export { two } from '../index.js';\n`,
    rules: ['import-x/no-restricted-paths'],
  },
  'src/common/circle.ts': {
    text: `import { three } from './circle-back.js';\nexport const four = (): number => three() + 1;\n`,
    rules: ['import-x/no-cycle'],
  },
  'src/common/circle-back.ts': {
    text: `import { four } from './circle.js';\nexport const three = (): number => four() - 1;\n`,
    rules: ['import-x/no-cycle'],
  },
  'src/common/sixty-lines.ts': {
    text: `export function sixty(): void {\n${lines(58, '  // a line')}}\n`,
  },
  'src/common/sixty-one-lines.ts': {
    text: `export function more(): void {\n${lines(59, '  // a line')}}\n`,
    rules: ['max-lines-per-function'],
  },
  'src/weights/reads-files.ts': {
    text: `export { readFile } from 'node:fs/promises';\n`,
    rules: ['no-restricted-imports'],
  },
  'src/onnx/loads-sharp.ts': {
    text: `import 'sharp';\n`,
    rules: ['no-restricted-imports'],
  },
  'src/metrics/uses-buffer.ts': {
    text: `export const has = typeof Buffer === 'undefined';\n`,
    rules: ['no-restricted-globals'],
  },
  'src/data/node-room.ts': {
    text: `export { readFile } from 'node:fs/promises';\n`,
  },
  'src/common/four-parameters.ts': {
    text: 'export const sum = (a: number, b: number, c: number, d: number): number => a + b + c + d;\n',
  },
  'src/common/five-parameters.ts': {
    text: 'export const sum = (a: number, b: number, c: number, d: number, e: number): number =>\n  a + b + c + d + e;\n',
    rules: ['max-params'],
  },
  'src/checkpoint/one-folder.ts': {
    text: `${MAKES_FOLDERS}mkdir('one');\nhost.fs.mkdirSync('two', { mode: 0o700 });\n`,
  },
  'src/checkpoint/recursive.ts': {
    text: `${MAKES_FOLDERS}mkdir('one', { recursive: true });\n`,
    rules: ['no-restricted-syntax'],
  },
  'src/checkpoint/recursive-sync.ts': {
    text: `${MAKES_FOLDERS}host.fs.mkdirSync('two', { mode: 0o700, recursive: true });\n`,
    rules: ['no-restricted-syntax'],
  },
  'src/checkpoint/perhaps-recursive.ts': {
    text: `${MAKES_FOLDERS}host.fs.mkdirSync('two', { 'recursive': host.deep });\n`,
    rules: ['no-restricted-syntax'],
  },
  'src/common/three-hundred-lines.ts': { text: lines(300, '// a line') },
  'src/common/three-hundred-and-one-lines.ts': {
    text: lines(301, '// a line'),
    rules: ['max-lines'],
  },
};

const PORTABLE = 'tsconfig.portable.json';

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lint-'));
  const { compilerOptions } = JSON.parse(
    await readFile(path.join(ROOT, 'tsconfig.json'), 'utf8'),
  ) as { compilerOptions: object };
  const { knip } = JSON.parse(await readFile(path.join(ROOT, 'package.json'), 'utf8')) as {
    knip: object;
  };
  await plant('tsconfig.json', JSON.stringify({ compilerOptions, include: ['src'] }));
  await plant('package.json', JSON.stringify({ type: 'module', exports: './src/index.ts', knip }));
  for (const [file, { text }] of Object.entries(PLANTED)) await plant(file, text);
});

afterAll(() => rm(folder, { recursive: true }));

async function plant(file: string, text: string): Promise<void> {
  await mkdir(path.dirname(path.join(folder, file)), { recursive: true });
  await writeFile(path.join(folder, file), text);
}

/** Runs a program of the repository in the planted project; returns what it prints, whatever its exit code. */
async function output(program: string, ...words: string[]): Promise<string> {
  const given = [path.join(ROOT, program), ...words];
  try {
    return (await run(process.execPath, given, { cwd: folder })).stdout;
  } catch (error) {
    return (error as { stdout: string }).stdout;
  }
}

test('eslint holds the layers, circles, portable files, folders made one by one, and the length of files, functions and parameter lists', async () => {
  const config = path.join(ROOT, 'eslint.config.js');
  const given = ['--config', config, '--format', 'json', 'src'];
  const results = JSON.parse(await output('node_modules/eslint/bin/eslint.js', ...given)) as {
    filePath: string;
    messages: { ruleId: string }[];
  }[];
  const found = results.map(({ filePath, messages }) => [
    path.relative(folder, filePath).replaceAll(path.sep, '/'),
    messages.map(({ ruleId }) => ruleId),
  ]);
  const expected = Object.entries(PLANTED).map(([file, { rules = [] }]) => [file, rules]);
  expect(Object.fromEntries(found)).toEqual(Object.fromEntries(expected));
});

test('the portable files compile without the types of Node.js, and a planted one does not', async () => {
  const listed = await output(
    'node_modules/typescript/bin/tsc',
    '-p',
    path.join(ROOT, PORTABLE),
    '--listFilesOnly',
  );
  const sources = listed.split('\n').filter((file) => file.includes('/src/'));
  expect(sources.length).toBeGreaterThan(40);
  expect(listed).not.toContain('@types/node');

  await plant(PORTABLE, await readFile(path.join(ROOT, PORTABLE), 'utf8'));
  const found = await output('node_modules/typescript/bin/tsc', '-p', PORTABLE);
  const problems = found
    .split('\n')
    .flatMap((line) => /^(.*)\(.*error (TS\d+)/.exec(line)?.slice(1, 3).join(' ') ?? []);
  expect(problems.sort()).toEqual([
    'src/metrics/uses-buffer.ts TS2591',
    'src/onnx/loads-sharp.ts TS2882',
    'src/weights/reads-files.ts TS2591',
  ]);
});

test('knip finds exports that nothing uses', async () => {
  const given = ['--reporter', 'json', '--include', 'exports,types'];
  const { issues } = JSON.parse(await output('node_modules/knip/bin/knip.js', ...given)) as {
    issues: { file: string; exports: { name: string }[]; types: { name: string }[] }[];
  };
  const found = issues.map(({ file, exports, types }) => [
    file,
    ...[...exports, ...types].map(({ name }) => name),
  ]);
  expect(found).toEqual([['src/common/partly-used.ts', 'unused', 'Unused']]);
});

test('the words lint finds what comments, docstrings and documents must not say', async () => {
  await plant(
    'words/src/planted/words.ts',
    `/** Of the rank that leads. */
export const a = 1;
/**
 * Returns one.
 *
 * - What is returned is one.
 * @returns where it lies
 */
export const b = 1; // Those are two.
// Reads a file that
// is no folder. Where it is missing, there is no result. It is no longer read.
export const c = 'Of the picture';
/** A noun. The same again. */
export const Team = 1;
`,
  );
  await plant(
    'words/scripts/planted/words.py',
    `"""Builds graphs.

What they are.
"""
A = "# Of a string"
B = """
Of a string
"""
# Nothing to see,
# of course.
C = 1  # Of a comment
`,
  );
  await plant('words/README.md', 'Of a document. <picture>A Workshop</picture>\nPictures.\n');
  const found = await output('scripts/checks/words.mjs', 'words');
  expect(found.trimEnd().split('\n')).toEqual([
    'README.md:1: Workshop was given up: Training',
    'README.md:2: a picture is an image',
    'scripts/planted/words.py:3: begins with "What"; begin with a verb or a noun',
    'scripts/planted/words.py:11: begins with "Of"; begin with a verb or a noun',
    'src/planted/words.ts:1: begins with "Of"; begin with a verb or a noun',
    'src/planted/words.ts:6: begins with "What"; begin with a verb or a noun',
    'src/planted/words.ts:9: begins with "Those"; begin with a verb or a noun',
    'src/planted/words.ts:10: say "is not a"',
    'src/planted/words.ts:11: begins with "Where"; begin with a verb or a noun',
    'src/planted/words.ts:12: a picture is an image',
    'src/planted/words.ts:13: begins with "The same"; begin with a verb or a noun',
    'src/planted/words.ts:14: Team was given up: ProcessGroup',
  ]);
});
