/**
 * Holds: text in and out. Classes and images whose names hold line breaks, escape sequences and formulas go through
 * every command that prints them.
 */

import { mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { visible } from '../../src/common/text.js';
import { call, makeData, trainWords, type End } from '../support/run-process.js';

/** Takes the place of the class names of `makeData`, in its order. */
const RED = '=red\u001b[31m';
const BLUE = 'blue\nwarning: all is lost\u202e';
const IMAGE = '0\u001b]0;title\u0007\n.png';

let dir: string;
let trained: End;

const command = (...words: string[]): Promise<End> => call(words, { cwd: dir });

/** Asserts that people's output obeys no name: no control characters but line breaks, and no line of a name's own. */
function expectHarmless({ stdout, stderr }: End): void {
  expect(visible(stdout + stderr, '\n')).toBe(stdout + stderr);
  expect(stdout + stderr).not.toMatch(/^warning: all is lost/m);
}

beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'hostile-names-'));
  const data = await makeData(path.join(dir, 'my data'), 6, 4);
  for (const split of ['train', 'val']) {
    const at = (...names: string[]): string => path.join(data, split, ...names);
    await rename(at('red'), at(RED));
    await rename(at('blue'), at(BLUE));
    await rename(at(RED, '0.png'), at(RED, IMAGE));
  }
  trained = await command(...trainWords('my data', "it's $HOME", '--epochs', '1'));
});
afterAll(async () => {
  await rm(dir, { recursive: true });
});

test('train prints the names as text, and its hint can be pasted', () => {
  expect(trained).toMatchObject({ code: 0, stderr: '' });
  expectHarmless(trained);
  expect(trained.stdout).toContain(String.raw`blue\nwarning: all is lost\u202e`);
  expect(trained.stdout).toContain(String.raw`--run 'it'\''s $HOME'`);
});

test('the report shows them, and obeys none', async () => {
  const page = await readFile(path.join(dir, "it's $HOME", 'report.html'), 'utf8');
  expect(visible(page, '\n\t')).toBe(page);
  expect(page).toContain(String.raw`=red\x1b[31m`);
});

test.each(['text', 'csv', 'json'])('evaluate and predict, %s', async (format) => {
  const flag = format === 'text' ? [] : [`--${format}`];
  const rest = ['--run', "it's $HOME", '--workers', '1', ...flag];
  const evaluated = await command('evaluate', ...rest, '--data', 'my data');
  expect(evaluated.code).toBe(0);
  const image = path.join('my data', 'val', RED, IMAGE);
  const predicted = await command('predict', ...rest, image);
  expect(predicted.code).toBe(0);
  if (format !== 'csv') {
    expectHarmless(evaluated);
    expectHarmless(predicted);
  }
  if (format === 'text') expect(predicted.stdout.trimEnd().split('\n')).toHaveLength(1);
  if (format === 'json') expect(JSON.parse(predicted.stdout)).toMatchObject({ path: image });
  if (format === 'csv') {
    expect(evaluated.stdout).toContain(String.raw`'=red\x1b[31m`);
    const all = evaluated.stdout + predicted.stdout;
    expect(visible(all, '\n')).toBe(all);
  }
});

test('a web page in a folder with a space: the hint can be pasted', async () => {
  const words = ['--run', "it's $HOME", '--web', 'my page', '--skip-replay'];
  const exported = await command('export-inference', ...words);
  expect(exported).toMatchObject({ code: 0, stderr: '' });
  expectHarmless(exported);
  expect(exported.stdout).toContain("python3 -m http.server -d 'my page')");
});

test('an error about such a file is one line', async () => {
  const found = await command('predict', '--run', "it's $HOME", 'no\u001b2J\nfile.png');
  expect(found.code).toBe(1);
  expectHarmless(found);
  expect(found.stderr.trimEnd().split('\n')).toHaveLength(1);
});
