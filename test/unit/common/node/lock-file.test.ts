/** Holds: a lock file has one owner; that of an owner who has gone is taken over by exactly one. */

import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { LockedError, LockFile, type LockOwner } from '../../../../src/common/node/lock-file.js';
import { thisProcess } from '../../../../src/common/node/process-identity.js';
import { UserError } from '../../../../src/common/errors.js';

let folder: string;
let file: string;
let count = 0;
beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'lock-file-'));
});
afterAll(() => rm(folder, { recursive: true }));
beforeEach(() => {
  file = path.join(folder, `${++count}.lock`);
});

/** Writes the lock file of some owner, touched `age` seconds ago. */
async function plant(changes: Partial<LockOwner>, age = 0): Promise<void> {
  const since = new Date().toISOString();
  const own = { ...(await thisProcess()), since, token: '0123456789abcdef' };
  await writeFile(file, JSON.stringify({ ...own, ...changes }));
  await touched(age);
}

async function touched(age: number): Promise<void> {
  const time = Date.now() / 1000 - age;
  await utimes(file, time, time);
}

/** Returns the id of a process that has ended. */
const ended = (): number => spawnSync(process.execPath, ['-e', '']).pid;
const leftovers = async (): Promise<string[]> =>
  (await readdir(folder)).filter((name) => name.includes(`${count}.lock`));

test('it has one owner until it is released, in one process, too', async () => {
  const lock = await LockFile.acquire(file);
  expect(lock.before).toBeUndefined();
  const attempt = LockFile.acquire(file);
  await expect(attempt).rejects.toThrow(LockedError);
  await expect(attempt).rejects.toMatchObject({ owner: { pid: process.pid }, here: true });
  await lock.release();
  expect(await leftovers()).toEqual([]);
  const again = await LockFile.acquire(file);
  expect(again.before).toBeUndefined();
  await again.release();
});

test('it names host, pid and start of the process', async () => {
  const lock = await LockFile.acquire(file);
  const owner = JSON.parse(await readFile(file, 'utf8')) as LockOwner;
  expect(owner).toMatchObject({ host: os.hostname(), pid: process.pid });
  if (process.platform !== 'win32') expect(owner.started).toMatch(/\d/);
  await lock.release();
});

test('it is touched while its owner lives', async () => {
  const lock = await LockFile.acquire(file, 20);
  await touched(3600);
  await sleep(200);
  expect(Date.now() - (await stat(file)).mtimeMs).toBeLessThan(60_000);
  expect(JSON.parse(await readFile(file, 'utf8'))).toEqual(lock.owner);
  await lock.release();
});

test('a folder that does not exist is an error in words', async () => {
  const attempt = LockFile.acquire(path.join(folder, 'none', 'lock'));
  await expect(attempt).rejects.toThrow(UserError);
  await expect(attempt).rejects.toThrow(
    /^expected to write .*none.lock, failed with (Error: )?ENOENT/,
  );
});

describe('a stale one is taken over', () => {
  const SEEN = process.platform === 'win32' ? null : 'some other time';
  const cases: readonly [string, () => Partial<LockOwner>, number][] = [
    ['no process of that pid', () => ({ pid: ended() }), 0],
    ['another process has the pid now', () => ({ started: SEEN, pid: process.ppid }), 0],
    ['another host, silent for 11 minutes', () => ({ host: 'elsewhere' }), 660],
    ['another container, silent for 11 minutes', () => ({ namespace: 'pid:[1]' }), 660],
  ];
  const tested = process.platform === 'win32' ? cases.filter(([, , age]) => age > 0) : cases;
  test.each(tested)('%s', async (_, changes, age) => {
    const planted = changes();
    await plant(planted, age);
    const lock = await LockFile.acquire(file);
    expect(lock.before).toMatchObject(planted);
    expect(JSON.parse(await readFile(file, 'utf8'))).toEqual(lock.owner);
    expect(await leftovers()).toEqual([`${count}.lock`]);
    await lock.release();
  });

  test.each(['', '{"pid":', '[]', '{"pid":-1,"host":"x","since":"","token":"../../x"}'])(
    'damaged: %j',
    async (text) => {
      await writeFile(file, text);
      await touched(60);
      const lock = await LockFile.acquire(file);
      expect(lock.before).toBeNull();
      await lock.release();
      expect(await leftovers()).toEqual([]);
    },
  );

  const onLinux = process.platform === 'linux' ? test : test.skip;
  onLinux('an ended process whose parent does not ask for its exit code', async () => {
    // The shell becomes sleep, which never waits for the child.
    const parent = spawn('sh', ['-c', 'sleep 0.3 & echo $!; exec sleep 60']);
    const [text] = (await once(parent.stdout, 'data')) as [Buffer];
    const pid = Number(text.toString());
    await sleep(1000);
    const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(' ');
    expect(fields[2]).toBe('Z');
    await plant({ pid, started: fields[21] ?? '' });
    await (await LockFile.acquire(file)).release();
    parent.kill();
  });

  test('what a kill in the middle of a take-over left does not block the next one', async () => {
    await plant({ pid: ended() });
    const guard = `${file}.0123456789abcdef`;
    await writeFile(guard, await readFile(file));
    const lock = await LockFile.acquire(file);
    await lock.release();
    expect(await leftovers()).toEqual([]);
  });
});

describe('one that lives is not', () => {
  test.each([
    ['another host, touched 9 minutes ago', { host: 'elsewhere' }, 540],
    ['another host, whose clock is ahead', { host: 'elsewhere' }, -3600],
    ['another container on this host', { namespace: 'pid:[1]', pid: 1 }, 0],
    ['this process, asleep for an hour', {}, 3600],
    ['a process whose start is not known', { started: null }, 3600],
  ])('%s', async (_, changes, age) => {
    await plant(changes, age);
    const before = await readFile(file, 'utf8');
    await expect(LockFile.acquire(file)).rejects.toThrow(LockedError);
    expect(await readFile(file, 'utf8')).toBe(before);
    expect(await leftovers()).toEqual([`${count}.lock`]);
  });

  test('one that is being written is waited for', async () => {
    await writeFile(file, '');
    const waiting = LockFile.acquire(file);
    await sleep(100);
    await plant({});
    await expect(waiting).rejects.toThrow(LockedError);
  });
});

test('an owner that was asleep sees who has taken over, and does not remove that lock', async () => {
  const lock = await LockFile.acquire(file);
  expect(await lock.stolenBy()).toBeNull();
  await rm(file);
  expect(await lock.stolenBy()).toBeNull();
  await plant({ host: 'elsewhere', pid: 7 });
  expect(await lock.stolenBy()).toMatchObject({ host: 'elsewhere', pid: 7 });
  await lock.release();
  expect(await leftovers()).toEqual([`${count}.lock`]);
});

describe('several processes at once: exactly one wins', () => {
  const script = new URL('../../../support/lock-race.js', import.meta.url).pathname;
  const ROUNDS = 3;
  const RACERS = 5;
  const taken: [string, (() => Partial<LockOwner>) | null][] = [
    ['a free lock', null],
    ['a stale lock', () => ({ pid: ended() })],
  ];
  test.each(taken)(
    '%s',
    async (_, changes) => {
      for (let round = 0; round < ROUNDS; round++) {
        file = path.join(folder, `${++count}.lock`);
        if (changes !== null) await plant(changes());
        // Late enough for all of them to be loaded.
        const start = String(Date.now() + 1500);
        const racers = Array.from({ length: RACERS }, () =>
          spawn(process.execPath, [script, file, start], { stdio: ['pipe', 'pipe', 'inherit'] }),
        );
        const lines = await Promise.all(racers.map(firstLine));
        const winners = racers.filter((__, i) => lines[i]?.startsWith('won'));
        expect(winners).toHaveLength(1);
        const losers = lines.filter((line) => line === `lost to ${winners[0]?.pid ?? 0}`);
        expect(losers).toHaveLength(RACERS - 1);
        winners[0]?.stdin.end();
        if (winners[0] !== undefined) await once(winners[0], 'exit');
        expect(await leftovers()).toEqual([]);
      }
    },
    60_000,
  );
});

test('many takers in one process, over and over: exactly one wins', async () => {
  const pid = ended();
  for (let round = 0; round < 30; round++) {
    await plant({ pid });
    const tries = await Promise.allSettled(Array.from({ length: 8 }, () => LockFile.acquire(file)));
    const won = tries.flatMap((one) => (one.status === 'fulfilled' ? one.value : []));
    const lost = tries.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []));
    expect(won).toHaveLength(1);
    for (const reason of lost) expect(reason).toBeInstanceOf(LockedError);
    await won[0]?.release();
    expect(await leftovers()).toEqual([]);
  }
});

async function firstLine({ stdout }: ChildProcess): Promise<string> {
  if (stdout === null) throw new Error('no output');
  const [text] = (await once(stdout, 'data')) as [Buffer];
  return text.toString().trim();
}
