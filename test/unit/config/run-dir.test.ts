/** Holds: inputs are used, refused or named. The place of a new run. */

import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { claimRunDir } from '../../../src/checkpoint/run-lock.js';
import { UserError } from '../../../src/common/errors.js';
import { checkOut, nextRunDir } from '../../../src/config/run-dir.js';
import { Validator } from '../../../src/config/validator.js';

let dir = '';
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'run-dir-'));
});
afterEach(async () => {
  await rm(dir, { recursive: true });
});

test.each([
  ['a file', (runs: string) => writeFile(runs, '')],
  ['a link to a file', linkToFile],
  ['a link in a circle', (runs: string) => symlink('runs', runs)],
])('runs is %s', async (_, make) => {
  const runs = path.join(dir, 'runs');
  await make(runs);
  // The number does not matter: making the folder fails in words.
  expect(nextRunDir('train', runs)).toBe(path.join(runs, 'train-1'));
  await expect(claimRunDir('train', runs)).rejects.toThrow(UserError);
});

async function linkToFile(runs: string): Promise<void> {
  await writeFile(path.join(dir, 'file'), '');
  await symlink('file', runs);
}

test('a file in the place of runs is named', async () => {
  const runs = path.join(dir, 'runs');
  await writeFile(runs, '');
  const check = (): unknown => checkOut(nextRunDir('train', runs), new Validator('flag'));
  expect(check).toThrow(`${runs} is a file; choose another name`);
});

test('the next run has the next number', async () => {
  for (const name of ['train-1', 'train-9', 'other-20']) await mkdir(path.join(dir, name));
  expect(nextRunDir('train', dir)).toBe(path.join(dir, 'train-10'));
});
