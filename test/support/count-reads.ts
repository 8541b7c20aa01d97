/**
 * Program that counts how often the main thread reads folders and opens files of a data folder, while it trains or
 * evaluates. Prints the counts as JSON. Arguments: the data folder, the options of `train` as JSON, the run to evaluate.
 */

import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import path from 'node:path';
import type { TrainOptions } from '../../src/config/train-options.js';

const [data = '', words = '{}', run = ''] = process.argv.slice(2);
const options = JSON.parse(words) as TrainOptions & { readonly artifacts: string };
const { artifacts } = options;
const counts: Record<string, number> = {};

for (const name of ['readdir', 'open'] as const) {
  const original = fs.promises[name] as (...all: unknown[]) => Promise<unknown>;
  const counted = (...all: unknown[]): Promise<unknown> => {
    const below = path.relative(data, String(all[0]));
    if (!below.startsWith('..')) counts[`${name} ${below}`] = (counts[`${name} ${below}`] ?? 0) + 1;
    return original(...all);
  };
  Object.assign(fs.promises, { [name]: counted });
}
syncBuiltinESMExports();

const { evaluate, train } = await import('../../src/index.js');
if (run === '') await train({ ...options, data });
else await evaluate({ run, data, artifacts });
process.stdout.write(JSON.stringify(counts));
