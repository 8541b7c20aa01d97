import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { UserError } from '../../../../src/common/errors.js';
import { writeFileAtomic } from '../../../../src/common/node/atomic-file.js';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'files-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

describe('writeFileAtomic', () => {
  test('writes text, bytes and chunks, and replaces an older file', async () => {
    const file = path.join(folder, 'a.txt');
    await writeFileAtomic(file, 'größer');
    expect(await readFile(file, 'utf8')).toBe('größer');
    await writeFileAtomic(file, Uint8Array.of(1, 2, 3));
    expect([...(await readFile(file))]).toEqual([1, 2, 3]);
    const view = new Uint8Array(Float32Array.of(1, 2).buffer, 4, 4);
    await writeFileAtomic(file, [Uint8Array.of(9), new Uint8Array(), view]);
    expect([...(await readFile(file))]).toEqual([9, 0, 0, 0, 64]);
    await writeFileAtomic(file, '');
    expect(await readFile(file, 'utf8')).toBe('');
    expect(await readdir(folder)).toEqual(['a.txt']);
  });

  test('writers at the same time leave one whole file', async () => {
    const file = path.join(folder, 'a');
    const contents = Array.from({ length: 20 }, (_, i) => String(i).repeat(50_000));
    await Promise.all(contents.map((content) => writeFileAtomic(file, content)));
    expect(contents).toContain(await readFile(file, 'utf8'));
    expect(await readdir(folder)).toEqual(['a']);
  });

  test('a folder that does not exist is named', async () => {
    const file = path.join(folder, 'none', 'a');
    await expect(writeFileAtomic(file, 'x')).rejects.toThrow(UserError);
    await expect(writeFileAtomic(file, 'x')).rejects.toThrow(/none.a.*ENOENT.*check that/);
  });

  test('a failure removes the temporary file and keeps what was there', async () => {
    const target = path.join(folder, 'a');
    await mkdir(target); // A file cannot be renamed over a folder.
    await writeFile(path.join(target, 'kept'), '');
    await expect(writeFileAtomic(target, 'x')).rejects.toThrow(UserError);
    expect(await readdir(folder)).toEqual(['a']);
    expect(await readdir(target)).toEqual(['kept']);
  });
});
