/**
 * A file that one process at a time owns. It is made exclusively, touched while its owner lives, and removed by it. The
 * file of an owner that ended without removing it is stale, and the next process takes it over.
 */

import { randomBytes } from 'node:crypto';
import { type FileHandle, open, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { UserError } from '../errors.js';
import { codeOf, messageOf } from '../format.js';
import { temporaryName } from './atomic-file.js';
import {
  isOnThisMachine,
  isRunning,
  thisProcess,
  type ProcessIdentity,
} from './process-identity.js';

/** Milliseconds between two touches of the file. */
const TOUCH_INTERVAL = 30_000;
/** Milliseconds without a touch after which an owner on another machine counts as gone. */
export const ABANDONED = 600_000;
/** Milliseconds in which an owner writes its name into the file that it has just made. */
const WRITING = 2000;
/** Milliseconds to wait for a process that is taking the file over. */
const PATIENCE = 5000;
const RETRY = 20;

/** The content of the file. */
export interface LockOwner extends ProcessIdentity {
  /** Time at which the file was made, in ISO 8601. */
  readonly since: string;
  /** Random name of this ownership. */
  readonly token: string;
}

/** The file belongs to another process, or to another part of this one. */
export class LockedError extends Error {
  /**
   * @param owner null if the file does not say.
   * @param here whether the owner is on this machine.
   * @param silentFor milliseconds since its last touch.
   */
  constructor(
    file: string,
    readonly owner: LockOwner | null,
    readonly here: boolean,
    readonly silentFor: number,
  ) {
    super(`${file} belongs to ${owner === null ? 'an unknown process' : `process ${owner.pid}`}`);
  }
}

/** Content of a lock file, and the name of this ownership in file names. */
interface FoundLock {
  readonly owner: LockOwner | null;
  readonly id: string;
  readonly mtimeMs: number;
}

export class LockFile {
  #timer: NodeJS.Timeout | undefined;
  #touching: Promise<unknown> = Promise.resolve();

  private constructor(
    readonly file: string,
    readonly owner: LockOwner,
    /** Owner from whom the file was taken over; undefined if it was free, null if the file did not say. */
    readonly before: LockOwner | null | undefined,
    private readonly handle: FileHandle,
  ) {}

  #touchEvery(interval: number): this {
    this.#timer = setInterval(() => {
      this.#touch();
    }, interval).unref();
    return this;
  }

  /**
   * Makes the file, or takes a stale one over. If several processes try at once, exactly one succeeds. The folder must
   * exist.
   *
   * @param touchInterval milliseconds.
   * @throws LockedError if another owner has it.
   * @throws UserError if it cannot be written.
   */
  static async acquire(file: string, touchInterval = TOUCH_INTERVAL): Promise<LockFile> {
    const self = await thisProcess();
    const giveUp = performance.now() + PATIENCE;
    let before: LockOwner | null | undefined;
    for (;;) {
      const handle = await create(file);
      if (handle !== null) {
        const token = randomBytes(8).toString('hex');
        const owner = { ...self, since: new Date().toISOString(), token };
        await write(handle, file, owner);
        return new LockFile(file, owner, before, handle).#touchEvery(touchInterval);
      }
      const found = await readLock(file);
      // Its owner has just removed it.
      if (found === null) continue;
      const silentFor = (await fileSystemTime(file)) - found.mtimeMs;
      const here = found.owner !== null && isOnThisMachine(found.owner, self);
      if ((await isHeld(found.owner, here, silentFor)) || performance.now() > giveUp) {
        throw new LockedError(file, found.owner, here, silentFor);
      }
      if (found.owner === null && silentFor < WRITING) {
        await sleep(RETRY);
        continue;
      }
      before = found.owner;
      await removeStale(file, found);
    }
  }

  /** Returns the other process that has taken the file over while this one was asleep; null if none has. */
  async stolenBy(): Promise<LockOwner | null> {
    const found = await readLock(this.file).catch(() => null);
    return found?.owner == null || found.owner.token === this.owner.token ? null : found.owner;
  }

  /** Removes the file, unless another process has taken it over. Never fails: a file that stays is stale once the process ends. */
  async release(): Promise<void> {
    clearInterval(this.#timer);
    await this.#touching;
    await this.handle.close().catch(() => undefined);
    const found = await readLock(this.file).catch(() => null);
    if (found?.id === this.owner.token) await rm(this.file, { force: true }).catch(() => undefined);
  }

  /** Writes the same content again, so that the file's server sets the time: the clocks of two machines may differ. */
  #touch(): void {
    const content = Buffer.from(textOf(this.owner));
    this.#touching = this.#touching
      .then(() => this.handle.write(content, 0, content.length, 0))
      .catch(() => undefined);
  }
}

/** Returns whether the owner of a lock file lives, as far as this process can tell. */
async function isHeld(owner: LockOwner | null, here: boolean, silentFor: number): Promise<boolean> {
  if (owner === null) return false;
  return here ? isRunning(owner) : silentFor < ABANDONED;
}

function textOf(owner: LockOwner): string {
  return JSON.stringify(owner) + '\n';
}

/** Makes the file. Returns null if it is there already. */
async function create(file: string): Promise<FileHandle | null> {
  try {
    return await open(file, 'wx');
  } catch (cause) {
    if (codeOf(cause) === 'EEXIST') return null;
    throw cannotWrite(file, cause);
  }
}

async function write(handle: FileHandle, file: string, owner: LockOwner): Promise<void> {
  try {
    await handle.write(textOf(owner));
    await handle.sync();
  } catch (cause) {
    await handle.close();
    await rm(file, { force: true });
    throw cannotWrite(file, cause);
  }
}

function cannotWrite(file: string, cause: unknown): UserError {
  return new UserError(
    `expected to write ${file}, failed with ${messageOf(cause)}; check that the folder exists, may be written to and ` +
      'has space',
    { cause },
  );
}

/** Reads a lock file. Returns null if there is none. */
async function readLock(file: string): Promise<FoundLock | null> {
  let handle: FileHandle;
  try {
    handle = await open(file, 'r');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw cannotWrite(file, error);
  }
  try {
    const { ino, mtimeNs } = await handle.stat({ bigint: true });
    const owner = parseOwner(await handle.readFile('utf8'));
    return {
      owner,
      id: owner?.token ?? `${ino}-${mtimeNs}`,
      mtimeMs: Number(mtimeNs / 1_000_000n),
    };
  } finally {
    await handle.close();
  }
}

/** Returns the owner that a lock file names; null if the file is damaged, or is being written. */
function parseOwner(text: string): LockOwner | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const { host, pid, started, namespace, since, token } = Object(value) as Record<string, unknown>;
  const isText = (one: unknown): one is string => typeof one === 'string';
  const isTextOrNull = (one: unknown): one is string | null => one === null || isText(one);
  if (!isText(host) || !isText(since) || !isTextOrNull(started) || !isTextOrNull(namespace)) {
    return null;
  }
  // The token becomes part of a file name, and signals of pids below 1 go to several processes.
  if (!isText(token) || !/^[0-9a-f]{16}$/.test(token)) return null;
  if (typeof pid !== 'number' || !Number.isSafeInteger(pid) || pid < 1) return null;
  return { host, pid, started, namespace, since, token };
}

/** Returns the time in ms by the clock of the machine that keeps the file's folder. */
async function fileSystemTime(file: string): Promise<number> {
  const temporary = temporaryName(file);
  try {
    const handle = await open(temporary, 'wx');
    try {
      return (await handle.stat()).mtimeMs;
    } finally {
      await handle.close();
    }
  } catch (cause) {
    throw cannotWrite(path.dirname(file), cause);
  } finally {
    await rm(temporary, { force: true });
  }
}

/**
 * Removes a stale lock file, but not a newer one that another process has put in its place meanwhile: only the owner of
 * a second lock, named after this very ownership, compares and removes.
 */
async function removeStale(file: string, { id }: FoundLock): Promise<void> {
  let guard: LockFile;
  try {
    guard = await LockFile.acquire(`${file}.${id}`);
  } catch (error) {
    if (!(error instanceof LockedError)) throw error;
    await sleep(RETRY);
    return;
  }
  try {
    if ((await readLock(file))?.id === id) await rm(file, { force: true });
  } finally {
    await guard.release();
  }
}
