/** The folder of one run: settings, metrics and checkpoints. Every file is written whole or not at all. */

import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { ConfigError } from './errors.js';
import type { PhaseRecord } from './events.js';
import { writeFileAtomic } from './files.js';

export type CheckpointName = 'best' | 'last';

/** config.json: the resolved settings, and what they were resolved against. */
export type RunConfig = Readonly<Record<string, unknown>> & {
  readonly arch: string;
  readonly classes: readonly string[];
};

export class RunFolder {
  #metrics = '';

  private constructor(readonly dir: string) {}

  /** Makes the folder and writes config.json. */
  static async create(dir: string, config: RunConfig): Promise<RunFolder> {
    await mkdir(path.join(dir, 'checkpoints'), { recursive: true });
    await writeFileAtomic(path.join(dir, 'config.json'), JSON.stringify(config, null, 2) + '\n');
    return new RunFolder(dir);
  }

  /** Opens the folder of an earlier run. @throws ConfigError if `dir` is not one. */
  static async open(dir: string): Promise<{ folder: RunFolder; config: RunConfig }> {
    const file = path.join(dir, 'config.json');
    const text = await readFile(file, 'utf8').catch(() => {
      throw new ConfigError(
        `expected a run folder with a config.json, found none at ${file}; give the folder that "train" printed`,
      );
    });
    try {
      return { folder: new RunFolder(dir), config: JSON.parse(text) as RunConfig };
    } catch (cause) {
      throw new ConfigError(`expected JSON in ${file}, found something else; restore the file`, {
        cause,
      });
    }
  }

  checkpoint(name: CheckpointName): string {
    return path.join(this.dir, 'checkpoints', `${name}.safetensors`);
  }

  /** Adds a line to metrics.jsonl. */
  async appendMetrics(record: PhaseRecord): Promise<void> {
    this.#metrics += JSON.stringify(record) + '\n';
    await writeFileAtomic(path.join(this.dir, 'metrics.jsonl'), this.#metrics);
  }
}
