/** Holds: folders are made one by one, or refused in words; nothing hangs. */

import { mkdir, mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { makeFolder } from '../../../../src/common/node/make-folder.js';
import { UserError } from '../../../../src/common/errors.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'make-folder-'));
  await mkdir(path.join(folder, 'there'));
  await writeFile(path.join(folder, 'file'), '');
  await symlink(path.join(folder, 'there'), path.join(folder, 'link'), 'junction');
});
afterAll(() => rm(folder, { recursive: true }));

describe('folders that can be made', () => {
  test.each([
    ['one', 'one', 1],
    ['several levels', 'a/b/c/d', 4],
    ['one that is there', 'there', 0],
    ['one below a link', 'link/new', 1],
    ['a name with spaces and dots', './sp ace/../sp ace/ö', 2],
  ])('%s', async (_, name, count) => {
    const dir = path.join(folder, name);
    const made = await makeFolder(dir);
    expect((await stat(dir)).isDirectory()).toBe(true);
    expect(made).toHaveLength(count);
    if (count > 0) expect(made[0]).toBe(path.resolve(dir));
    expect(await makeFolder(dir)).toEqual([]);
  });

  test('the root is there', async () => {
    expect(await makeFolder(path.parse(folder).root)).toEqual([]);
  });

  test('many processes at once make one tree', async () => {
    const names = Array.from({ length: 20 }, (_, i) => path.join(folder, 'x', 'y', 'z', `${i}`));
    const made = (await Promise.all(names.map((name) => makeFolder(name)))).flat();
    expect(new Set(made).size).toBe(made.length);
    expect(made).toHaveLength(23);
  });
});

describe('folders that cannot be made', () => {
  test.each([
    ['a file is in the way', 'file', /EEXIST/],
    ['a file is above it', 'file/new/deep', /ENOTDIR|EEXIST|ENOENT/],
  ])('%s', async (_, name, reason) => {
    const attempt = makeFolder(path.join(folder, name), { name: 'the cache', advice: 'move it' });
    await expect(attempt).rejects.toThrow(UserError);
    await expect(attempt).rejects.toThrow(
      /^expected to make the cache .*, failed with .*; move it$/,
    );
    await expect(attempt).rejects.toThrow(reason);
  });

  // mkdir says ENOENT there although the parent exists, as it does in folders of autofs.
  const onLinux = process.platform === 'linux' ? test : test.skip;
  onLinux.each(['/proc/x', '/proc/x/run', '/proc/x/y/z/run', '/proc/self/x/run'])(
    '%s: an error at once',
    async (dir) => {
      const began = performance.now();
      await expect(makeFolder(dir)).rejects.toThrow(
        /^expected to make the folder \/proc.*: \/proc\S* takes no new folders;/,
      );
      expect(performance.now() - began).toBeLessThan(1000);
    },
  );
});
