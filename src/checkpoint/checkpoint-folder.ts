/**
 * The checkpoints of a run: `last`, up to `keep - 1` older ones as `step-<step>`, and `best`.
 *
 * A save first gives the checkpoint it replaces the name of its step (a second name for the same file, not a copy),
 * then puts the new one in its place, then removes old ones. A kill at any point leaves every named file whole, and
 * `last` in place.
 */

import { copyFile, link, readdir, realpath, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import {
  readCheckpoint,
  saveCheckpoint,
  type Checkpoint,
  type CheckpointPlatform,
} from './checkpoint.js';
import { UserError, WeightsError } from '../common/errors.js';
import { messageOf } from '../common/format.js';
import { temporaryName } from '../common/node/atomic-file.js';

const EXTENSION = '.safetensors';
const OLDER = /^step-(\d{1,15})\.safetensors$/;

export class CheckpointFolder {
  /** Step of the `last` on disk that the next save keeps under its step's name; null if there is none worth keeping. */
  #lastStep: number | null = null;

  /** @param keep how many of the latest checkpoints to keep, at least 1; `best` is one more. */
  constructor(
    readonly dir: string,
    readonly keep: number,
    private readonly platform: CheckpointPlatform,
  ) {}

  file(name: 'best' | 'last'): string {
    return path.join(this.dir, name + EXTENSION);
  }

  /** Tells that `last` is good and of this step, so that the next save keeps it. */
  markLast(step: number): void {
    this.#lastStep = step;
  }

  /** Writes `last`. @throws UserError if that fails; the older ones are intact then. */
  async save(checkpoint: Checkpoint): Promise<void> {
    const { step } = checkpoint.run;
    if (this.keep > 1 && this.#lastStep !== null && this.#lastStep < step) {
      await keepAs(this.file('last'), this.#older(this.#lastStep));
    }
    await saveCheckpoint(this.file('last'), checkpoint, this.platform);
    this.#lastStep = step;
    await this.prune(step);
  }

  /** Writes `best`. */
  async saveBest(checkpoint: Checkpoint): Promise<void> {
    await saveCheckpoint(this.file('best'), checkpoint, this.platform);
  }

  /** Returns the checkpoint files: `last`, older ones from the newest on, `best`. */
  async candidates(): Promise<string[]> {
    const names = await readdir(this.dir).catch((): string[] => []);
    const older = stepsOf(names).map((step) => this.#older(step));
    const named = (name: 'best' | 'last'): string[] =>
      names.includes(name + EXTENSION) ? [this.file(name)] : [];
    return [...named('last'), ...older, ...named('best')];
  }

  /**
   * Makes sure that `best` holds the weights of epoch `epoch`. After a kill between two saves, they are in another
   * checkpoint only.
   *
   * @returns whether `best` holds them now.
   */
  async restoreBest(epoch: number, elsewhere: readonly string[]): Promise<boolean> {
    const best = this.file('best');
    const others = (await this.candidates()).filter((file) => file !== best);
    for (const file of [best, ...others, ...elsewhere]) {
      const found = await readCheckpoint(file, this.platform).catch((error: unknown) => {
        if (error instanceof WeightsError) return null;
        throw error;
      });
      if (found === null) continue;
      const { tensors, run } = found;
      // A later `best` is good as well: the run goes on from before that epoch, and will reach it again.
      if (file === best && run.epoch >= epoch) return true;
      if (run.epoch !== epoch || run.partial !== null) continue;
      await this.saveBest({ state: new Map(tensors), run });
      return true;
    }
    return false;
  }

  #older(step: number): string {
    return path.join(this.dir, `step-${String(step).padStart(8, '0')}${EXTENSION}`);
  }

  /**
   * Removes the checkpoints before `step`, except the latest `keep - 1`. Later ones stay, too: a run that was resumed
   * from an earlier checkpoint has them.
   */
  async prune(step: number): Promise<void> {
    try {
      const older = stepsOf(await readdir(this.dir)).filter((found) => found < step);
      for (const found of older.slice(this.keep - 1)) await rm(this.#older(found), { force: true });
    } catch (cause) {
      throw folderError(`to remove older checkpoints from ${this.dir}`, cause);
    }
  }
}

/** Returns the steps of the older checkpoints among file names, the latest first. */
function stepsOf(names: readonly string[]): number[] {
  const steps = names.flatMap((name) => OLDER.exec(name)?.[1] ?? []).map(Number);
  return steps.sort((a, b) => b - a);
}

/** Returns the error about a folder that was removed or changed while training. */
function folderError(expected: string, cause: unknown): UserError {
  return new UserError(
    `expected ${expected}, failed with ${messageOf(cause)}; leave the folder of the checkpoints in place while training`,
    { cause },
  );
}

/** Gives `file` a second name, or copies it if the file system has no links. */
async function keepAs(file: string, name: string): Promise<void> {
  const temporary = temporaryName(name);
  try {
    // A second name for a symbolic link would lead to what the next save writes.
    const target = await realpath(file);
    try {
      await link(target, temporary);
    } catch {
      await copyFile(target, temporary);
    }
    await rename(temporary, name);
    // rename() does nothing if both names are links to one file, and leaves the temporary one.
    await rm(temporary, { force: true });
  } catch (cause) {
    throw folderError(`to keep ${file} as ${path.basename(name)}`, cause);
  }
}
