/** Holds: a folder that is changed while training gets a message. The checkpoints of a run on disk. */

import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { CheckpointFolder } from '../../../src/checkpoint/checkpoint-folder.js';
import type { Checkpoint } from '../../../src/checkpoint/checkpoint.js';
import { UserError } from '../../../src/common/errors.js';
import { float32Tensor } from '../../../src/common/tensor.js';
import { nodePlatform } from '../../../src/platform/node/node-platform.js';

let dir = '';
let folder: CheckpointFolder;
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'checkpoints-'));
  folder = new CheckpointFolder(path.join(dir, 'checkpoints'), 3, nodePlatform);
  await mkdir(folder.dir);
  await folder.save(at(1));
});
afterEach(async () => {
  await rm(dir, { recursive: true });
});

function at(step: number): Checkpoint {
  const run = { arch: 'tiny', classes: ['a', 'b'], epoch: 1, step, partial: null, best: null };
  const state = new Map([['w', float32Tensor([1], Float32Array.of(step))]]);
  return {
    state,
    run: { ...run, config: {}, records: [], fingerprints: { data: 'd', artifacts: 'a' } },
  };
}

test.each([
  ['removed', () => rm(folder.dir, { recursive: true })],
  ['emptied and replaced by a file', replaceByFile],
  ['a link to nothing', replaceByLink],
])('the folder is %s', async (_, change) => {
  await change();
  for (const write of [() => folder.save(at(2)), () => folder.saveBest(at(2))]) {
    await expect(write()).rejects.toThrow(UserError);
    await expect(write()).rejects.toThrow(/^expected to .*checkpoints.*failed with .*; /);
  }
  await expect(folder.prune(2)).rejects.toThrow(UserError);
});

async function replaceByFile(): Promise<void> {
  await rm(folder.dir, { recursive: true });
  await writeFile(folder.dir, '');
}

async function replaceByLink(): Promise<void> {
  await rm(folder.dir, { recursive: true });
  await symlink('nothing', folder.dir);
}

test('a checkpoint that is a link keeps its older content under its step', async () => {
  const elsewhere = path.join(dir, 'elsewhere');
  await writeFile(elsewhere, await readFile(folder.file('last')));
  const first = await readFile(elsewhere);
  await rm(folder.file('last'));
  await symlink(elsewhere, folder.file('last'));
  await folder.save(at(2));
  expect((await readFile(path.join(folder.dir, 'step-00000001.safetensors'))).equals(first)).toBe(
    true,
  );
  expect((await readFile(elsewhere)).equals(first)).toBe(false);
});
