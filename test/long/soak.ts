/**
 * Trains the tiny network for a long time in a process of its own: `node soak.js FOLDER EPOCHS`. Prints a line per
 * epoch with the resident memory in bytes.
 */

import path from 'node:path';
import { train } from '../../src/index.js';
import { makeData } from '../support/run-process.js';
import { TINY } from '../support/paths.js';

const [folder = '', epochs = ''] = process.argv.slice(2);
process.env.ORT_FINETUNE_CACHE = path.join(folder, 'cache');
await train({
  data: await makeData(path.join(folder, 'data'), 40, 10),
  artifacts: TINY,
  out: path.join(folder, 'run'),
  weights: 'random',
  device: 'cpu',
  threads: 1,
  workers: 2,
  epochs: Number(epochs),
  lr: 0.001,
  saveEvery: 10,
  onEvent: (event) => {
    if (event.type !== 'phase' || event.record.phase !== 'val') return;
    process.stdout.write(`${process.memoryUsage.rss()}\n`);
  },
});
