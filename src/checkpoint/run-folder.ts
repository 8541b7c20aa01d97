/** The folder of one run: settings, metrics and checkpoints. Every file is written whole or not at all. */

import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { metricsCsv } from '../common/csv.js';
import { ConfigError } from '../common/errors.js';
import type { PhaseRecord } from '../common/events.js';
import { sweepTemporary, writeFileAtomic } from '../common/node/atomic-file.js';
import { makeFolder } from '../common/node/make-folder.js';
import { messageOf } from '../common/format.js';
import { decodeJson } from '../common/json.js';

/** Name of a checkpoint: the best weights of a run, or the latest ones. */
export type CheckpointName = 'best' | 'last';

/** Content of config.json: the resolved settings, the network and the classes. */
export type RunConfig = Readonly<Record<string, unknown>> & {
  readonly arch: string;
  readonly classes: readonly string[];
};

/** Names of the files that training writes into the folder. */
const WRITTEN =
  /^(config\.json|metrics\.(jsonl|csv)|report\.html|predictions-(best|last)\.safetensors|(images|skipped)\.jsonl|validation\.txt|run\.lock.*)$/;
/** Names of the files that training writes into checkpoints/. */
const CHECKPOINT = /^(best|last|step-\d+)\.safetensors$/;

/** Folder of the checkpoints in a run folder. */
export const CHECKPOINTS = 'checkpoints';

export class RunFolder {
  constructor(readonly dir: string) {}

  /**
   * Creates the folder, or opens that of an earlier run, and writes config.json.
   *
   * @throws UserError if that fails.
   */
  static async create(dir: string, config: RunConfig): Promise<RunFolder> {
    const folder = new RunFolder(dir);
    await makeFolder(folder.checkpoints, {
      name: 'the run folder',
      advice: 'choose another with --out',
    });
    await folder.sweep();
    await folder.write('config.json', JSON.stringify(config, null, 2) + '\n');
    return folder;
  }

  /** Opens the folder of an earlier run. @throws ConfigError if `dir` is not one. */
  static async open(dir: string): Promise<{ folder: RunFolder; config: RunConfig }> {
    const file = path.join(dir, 'config.json');
    const bytes = await readFile(file).catch(() => {
      throw new ConfigError(
        `expected a run folder with a config.json, found none at ${file}; give the folder that "train" printed`,
      );
    });
    try {
      return { folder: new RunFolder(dir), config: decodeJson(bytes) as RunConfig };
    } catch (cause) {
      const found = messageOf(cause);
      throw new ConfigError(`expected JSON in ${file}, found ${found}; restore the file`, {
        cause,
      });
    }
  }

  /**
   * Removes the temporary files that a killed training left. Files of other names are not training's: an export may
   * be writing a model just now.
   */
  async sweep(): Promise<void> {
    await sweepTemporary(this.dir, (name) => WRITTEN.test(name));
    await sweepTemporary(this.checkpoints, (name) => CHECKPOINT.test(name));
  }

  get checkpoints(): string {
    return path.join(this.dir, CHECKPOINTS);
  }

  checkpoint(name: CheckpointName): string {
    return path.join(this.checkpoints, `${name}.safetensors`);
  }

  /** Replaces a file of the folder. */
  async write(name: string, text: string): Promise<void> {
    await writeFileAtomic(path.join(this.dir, name), text);
  }

  /** Replaces metrics.jsonl and metrics.csv: one line per record. */
  async writeMetrics(records: readonly PhaseRecord[]): Promise<void> {
    const lines = records.map((record) => JSON.stringify(record) + '\n');
    await this.write('metrics.jsonl', lines.join(''));
    await this.write('metrics.csv', metricsCsv(records));
  }
}
