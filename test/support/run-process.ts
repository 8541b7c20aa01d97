/** Starts training runs as processes of their own, which tests stop, kill and break. */

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { openArtifacts } from '../../src/platform/node/defaults.js';
import { loadCheckpoint } from '../../src/platform/node/defaults.js';
import type { Checkpoint } from '../../src/checkpoint/checkpoint.js';
import type { PhaseRecord } from '../../src/common/events.js';
import { coloured } from './tiny-network.js';
import { WatchedProcess, type End } from './watched-process.js';
import { CLI, TINY } from './paths.js';

export type { End };

export const CLASSES = ['red', 'blue'];

/** Writes a data folder of small PNGs: `training` and `validation` images per class. */
export async function makeData(dir: string, training: number, validation: number): Promise<string> {
  const counts = [
    ['train', training],
    ['val', validation],
  ] as const;
  for (const [split, count] of counts) {
    for (const [label, name] of CLASSES.entries()) {
      const folder = path.join(dir, split, name);
      await mkdir(folder, { recursive: true });
      for (let i = 0; i < count; i++) {
        const seed = 1000 * label + i + (split === 'val' ? 500 : 0);
        await writeFile(path.join(folder, `${i}.png`), await coloured(label, seed, 32 + (i % 28)));
      }
    }
  }
  return dir;
}

export interface ProcessOptions {
  /** Working directory, which also holds the cache. */
  readonly cwd: string;
  /** Path of a module that is loaded before the program. */
  readonly preload?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** A process of the command line. */
export class Process extends WatchedProcess {
  constructor(words: readonly string[], { cwd, preload, env }: ProcessOptions) {
    const before = preload === undefined ? [] : ['--import', preload];
    const cache = { ORT_FINETUNE_CACHE: path.join(cwd, 'cache') };
    super(process.execPath, [...before, CLI, ...words], { cwd, env: { ...cache, ...env } });
  }
}

export async function call(words: readonly string[], options: ProcessOptions): Promise<End> {
  const { code, signal, stdout, stderr } = await new Process(words, options).ended;
  return { code, signal, stdout, stderr };
}

/** Returns the words of a short run from random weights on the tiny network. Flags in `more` replace its own. */
export function trainWords(data: string, out: string, ...more: string[]): string[] {
  const usual = { weights: 'random', device: 'cpu', threads: '1', workers: '1' };
  const kept = Object.entries(usual).filter(([name]) => !more.includes(`--${name}`));
  const setting = kept.flatMap(([name, value]) => [`--${name}`, value]);
  const given = ['--data', data, '--out', out, '--artifacts', TINY];
  return ['train', ...given, ...setting, ...more];
}

/** Everything that a run writes, except the name of its folder and the time it took. */
export interface Outcome {
  readonly last: Checkpoint;
  readonly best: Checkpoint;
  readonly metrics: readonly PhaseRecord[];
}

export async function outcome(runDir: string): Promise<Outcome> {
  const { manifest } = await openArtifacts(TINY);
  const load = async (name: string): Promise<Checkpoint> => {
    const file = path.join(runDir, 'checkpoints', `${name}.safetensors`);
    const { state, run } = await loadCheckpoint(file, manifest);
    return { state, run: { ...run, records: timeless(run.records), config: null } };
  };
  const text = await readFile(path.join(runDir, 'metrics.jsonl'), 'utf8');
  const records = text.trimEnd().split('\n');
  return {
    last: await load('last'),
    best: await load('best'),
    metrics: timeless(records.map((line) => JSON.parse(line) as PhaseRecord)),
  };
}

const timeless = (records: readonly PhaseRecord[]): PhaseRecord[] =>
  records.map((record) => ({
    ...record,
    seconds: 0,
    dataWaitSeconds: 0,
    ...(record.allReduceSeconds === undefined ? {} : { allReduceSeconds: 0 }),
  }));
