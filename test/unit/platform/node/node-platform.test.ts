import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { UserError } from '../../../../src/common/errors.js';
import { nodePlatform } from '../../../../src/platform/node/node-platform.js';
import { FileError } from '../../../../src/platform/platform.js';

const { files, zip } = nodePlatform;
let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'platform-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => null,
    (error: unknown) => error,
  );
}

describe('files', () => {
  test('reads a file, and parts of it into buffers of their own', async () => {
    const file = path.join(folder, 'a');
    const bytes = new Uint8Array(randomBytes(100));
    await writeFile(file, bytes);
    expect(await files.read(file)).toEqual(bytes);
    expect(await files.exists(file)).toBe(true);
    const opened = await files.open(file);
    try {
      expect(opened.size).toBe(100);
      const part = await opened.read(3, 16);
      expect(part).toEqual(bytes.slice(3, 19));
      expect(part.buffer.byteLength).toBe(16);
      expect(await opened.read(100, 0)).toHaveLength(0);
      await truncate(file, 10);
      expect(await rejection(opened.read(3, 16))).toMatchObject({
        message: 'a file that became shorter while read',
      });
    } finally {
      await opened.close();
    }
  });

  test('tells a missing file from one that cannot be read', async () => {
    const none = path.join(folder, 'none');
    expect(await files.exists(none)).toBe(false);
    for (const attempt of [files.read(none), files.open(none)]) {
      const error = await rejection(attempt);
      expect(error).toBeInstanceOf(FileError);
      expect(error).toMatchObject({ code: 'ENOENT' });
    }
    expect(await rejection(files.open(folder))).toMatchObject({
      name: 'FileError',
      message: 'something that is not a regular file',
    });
    expect(await rejection(files.read(folder))).toMatchObject({ code: 'EISDIR' });
  });

  test('writes whole files', async () => {
    const file = path.join(folder, 'a');
    await files.write(file, [Uint8Array.of(1), Uint8Array.of(2, 3)]);
    expect([...(await readFile(file))]).toEqual([1, 2, 3]);
    expect(await rejection(files.write(path.join(file, 'b'), 'x'))).toBeInstanceOf(UserError);
  });
});

test('a SHA-256 in parts is the one of the whole', () => {
  const bytes = randomBytes(1000);
  const hash = nodePlatform.sha256();
  for (let i = 0; i < bytes.length; i += 77) hash.update(bytes.subarray(i, i + 77));
  expect(hash.digest()).toBe(createHash('sha256').update(bytes).digest('hex'));
});

test("CRC-32 of the algorithm's check value", () => {
  expect(zip.crc32(new TextEncoder().encode('123456789'))).toBe(0xcbf43926);
});
