/** The command `demo`. */

import path from 'node:path';
import { PACKAGE_ROOT } from '../common/node/package-info.js';
import { claimRunDir, removeEmpty } from '../checkpoint/run-lock.js';
import { exportModel } from './export-inference.js';
import { RUN_OPTIONS } from '../config/train-options.js';
import type { Arguments, Command } from './flags.js';
import { commandLine, openOutput } from './output/output.js';
import { trainWithOutput } from './train.js';

/** Settings that are enough for the two textures of samples/ from random weights. */
const DEMO_SETTINGS = {
  weights: 'random',
  epochs: 6,
  batchSize: 8,
  lr: 0.003,
  stepSize: 4,
  seed: 0,
  device: 'cpu',
} as const;

export const DEMO: Command = {
  describe: 'Train on the bundled samples from random weights, then export (minutes, offline)',
  options: {
    out: { ...RUN_OPTIONS.out, shownDefault: 'the next free runs/demo-N' },
    arch: RUN_OPTIONS.arch,
  },
  run: demoCommand,
};

async function demoCommand(given: Arguments): Promise<void> {
  const data = path.join(PACKAGE_ROOT, 'samples', 'textures');
  const claimed = given.out === undefined ? await claimRunDir('demo') : [];
  const out = given.out ?? path.relative('', claimed[0] ?? '');
  const output = openOutput({}, process.stdout, process.stderr);
  const arch = given.arch === undefined ? {} : { arch: given.arch };
  try {
    const { runDir } = await trainWithOutput({ ...DEMO_SETTINGS, ...arch, data, out }, output);
    for (const line of await exportModel({ run: runDir })) output.info(line);
    output.info(`Next: your own images, ${commandLine('train', '--data DIR')}`);
  } finally {
    await removeEmpty(claimed);
  }
}
