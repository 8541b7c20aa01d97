import { execFileSync } from 'node:child_process';
import { lstatSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
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

  test.each([
    ['to a link to a file', 'x/middle'],
    ['to nothing', 'x/new'],
    ['to a file by way of a folder', 'x/../x/old'],
  ])('a link is followed: %s', async (_, to) => {
    await mkdir(path.join(folder, 'x'));
    await writeFile(path.join(folder, 'x/old'), 'old');
    await symlink('old', path.join(folder, 'x/middle'));
    const file = path.join(folder, 'link');
    await symlink(to, file);
    await writeFileAtomic(file, 'new');
    expect(lstatSync(file).isSymbolicLink()).toBe(true);
    expect(await readFile(path.join(folder, to), 'utf8')).toBe('new');
    expect((await readdir(folder)).sort()).toEqual(['link', 'x']);
  });

  test.each([
    ['a named pipe', (file: string) => execFileSync('mkfifo', [file])],
    ['a folder', (file: string) => mkdir(file)],
    ['a device', (file: string) => symlink('/dev/null', file)],
    ['a device', (file: string) => symlink('/dev/stdout', file)],
    ['a symbolic link that leads in a circle', (file: string) => symlink('a', file)],
  ])('%s is not replaced', async (found, make) => {
    const file = path.join(folder, 'a');
    await make(file);
    const { mode, ino } = lstatSync(file);
    await expect(writeFileAtomic(file, 'x')).rejects.toThrow(UserError);
    await expect(writeFileAtomic(file, 'x')).rejects.toThrow(`found ${found}; choose another`);
    expect(lstatSync(file)).toMatchObject({ mode, ino });
    expect(await readdir(folder)).toEqual(['a']);
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
