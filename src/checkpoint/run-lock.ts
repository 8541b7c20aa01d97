/** One process owns a run folder while it trains. */

import { mkdir, readdir, rm, rmdir } from 'node:fs/promises';
import path from 'node:path';
import { ConfigError, TrainingError, UserError } from '../common/errors.js';
import { codeOf, formatDuration, messageOf } from '../common/format.js';
import { ABANDONED, LockedError, LockFile, type LockOwner } from '../common/node/lock-file.js';
import { makeFolder } from '../common/node/make-folder.js';
import { CHECKPOINTS } from './run-folder.js';
import { LOCK_FILE, holdsNothing, nextRunNumber } from '../config/run-dir.js';

const MAKING = { name: 'the run folder', advice: 'choose another with --out' } as const;
/** Number of times that the folder above the runs is made. */
const ATTEMPTS = 5;

/** Ownership of a run folder: no other process writes to it before {@link RunLock.release}. */
export class RunLock {
  private constructor(
    readonly dir: string,
    private readonly lock: LockFile,
    /** Folders that this process made for the run, the innermost first. */
    private readonly made: readonly string[],
  ) {}

  /**
   * Takes the folder of an earlier run.
   *
   * @throws UserError if another process is training in it, or if it cannot be written to.
   */
  static async take(dir: string): Promise<RunLock> {
    return RunLock.#lock(dir, []);
  }

  /**
   * Makes and takes the folder of a new run.
   *
   * @throws ConfigError if a run is in it by now; UserError as {@link RunLock.take}.
   */
  static async make(dir: string): Promise<RunLock> {
    const own = await RunLock.#lock(dir, await makeFolder(dir, MAKING));
    if (holdsNothing(dir)) return own;
    await own.release();
    throw new ConfigError(
      `expected a new or empty run folder, found that another run has written to ${dir} meanwhile; choose another name`,
    );
  }

  /** Makes and takes the next free `<parent>/<name>-N`. @throws UserError if that fails. */
  static async next(name = 'train', parent = 'runs'): Promise<RunLock> {
    const made = await claimRunDir(name, parent);
    const dir = path.join(parent, path.basename(made[0] ?? ''));
    return RunLock.#lock(dir, made);
  }

  static async #lock(dir: string, made: readonly string[]): Promise<RunLock> {
    try {
      const lock = await LockFile.acquire(path.join(dir, LOCK_FILE));
      await removeGuards(dir);
      return new RunLock(dir, lock, made);
    } catch (error) {
      await removeEmpty(made);
      throw error instanceof LockedError ? new UserError(lockedText(dir, error)) : error;
    }
  }

  /** Remark for people if the folder was taken over from a process that ended without giving it back; else null. */
  get remark(): string | null {
    const { before } = this.lock;
    if (before === undefined) return null;
    const who =
      before === null ? 'a process that is not known' : `${nameOf(before)} (since ${before.since})`;
    return `${this.dir} still belonged to ${who}, which has ended; this process takes it over`;
  }

  /**
   * Checks that the folder has not been taken over. That happens on shared storage if this process was suspended for
   * more than 10 minutes.
   *
   * @throws TrainingError naming the new owner.
   */
  async check(): Promise<void> {
    const other = await this.lock.stolenBy();
    if (other === null) return;
    throw new TrainingError(
      `expected to own ${this.dir}, found that ${nameOf(other)} has taken it over since ${other.since}, when this ` +
        'process gave no sign of life; it stops here and leaves the run to the other one',
    );
  }

  /** Gives the folder back, and removes it if it was made for this run and nothing was written to it. */
  async release(): Promise<void> {
    await this.lock.release();
    if (this.made.length === 0) return;
    const names = await readdir(this.dir).catch(() => []);
    const inside = names.length === 1 && names[0] === CHECKPOINTS ? [CHECKPOINTS] : [];
    await removeEmpty([...inside.map((name) => path.join(this.dir, name)), ...this.made]);
  }
}

/**
 * Makes the next free `<parent>/<name>-N`, which no other process has made.
 *
 * @returns the absolute paths of the folders that were made, the run's first.
 * @throws UserError if that fails.
 */
export async function claimRunDir(name: string, parent = 'runs'): Promise<string[]> {
  for (let attempt = 1; ; attempt++) {
    const above = await makeFolder(parent, MAKING);
    try {
      return [await makeNext(name, parent), ...above];
    } catch (cause) {
      // Another process has just removed the parent, which it had made for a run that came to nothing.
      if (codeOf(cause) === 'ENOENT' && attempt < ATTEMPTS) continue;
      const reason = messageOf(cause);
      throw new UserError(
        `expected to make a run folder in ${parent}, failed with ${reason}; ${MAKING.advice}`,
        { cause },
      );
    }
  }
}

async function makeNext(name: string, parent: string): Promise<string> {
  for (let number = nextRunNumber(name, parent); ; number++) {
    const dir = path.resolve(parent, `${name}-${number}`);
    try {
      await mkdir(dir);
      return dir;
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
    }
  }
}

/** Removes folders that are empty, up to the first that is not. */
export async function removeEmpty(dirs: readonly string[]): Promise<void> {
  for (const dir of dirs) {
    try {
      await rmdir(dir);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') return;
    }
  }
}

/** Removes what killed processes left of take-overs. They are void now that the lock has a new owner. */
async function removeGuards(dir: string): Promise<void> {
  for (const name of await readdir(dir)) {
    if (name.startsWith(`${LOCK_FILE}.`)) await rm(path.join(dir, name), { force: true });
  }
}

function nameOf({ host, pid }: Pick<LockOwner, 'host' | 'pid'>): string {
  return `process ${pid} on ${host}`;
}

function lockedText(dir: string, { owner, here, silentFor }: LockedError): string {
  const expected = `expected a run folder that no process is training in, found that`;
  const file = path.join(dir, LOCK_FILE);
  if (owner === null) return `${expected} another process is taking ${dir}; try again`;
  const isThis = here && owner.pid === process.pid;
  const who = isThis ? `this process (${owner.pid})` : nameOf(owner);
  const found = `${expected} ${who} is training in ${dir} since ${owner.since}`;
  const advice = isThis ? 'wait until it ends' : 'wait until it ends, or stop it';
  if (here) return `${found}; ${advice}`;
  const left = formatDuration(Math.max(1, (ABANDONED - silentFor) / 1000));
  return (
    `${found}, with a sign of life ${formatDuration(Math.max(0, silentFor / 1000))} ago; ${advice}. If it was killed, ` +
    `the folder is free in ${left}, or at once without ${file}`
  );
}
