/** Uses a loader in one of several ways; the process must then end by itself, with exit code 0. */

import path from 'node:path';
import { openArtifacts } from '../../src/platform/node/defaults.js';
import { DatasetError } from '../../src/common/errors.js';
import { nodePlatform } from '../../src/platform/node/node-platform.js';
import { DataLoader } from '../../src/data/data-loader.js';
import { transformFixture } from '../parity/pixel-fixtures.js';
import { FIXTURES } from './paths.js';

const how = process.argv[2];
const image = how?.startsWith('failed') ? 'missing.png' : 'photograph.png';
const loader = new DataLoader({
  artifacts: await openArtifacts(path.join(FIXTURES, 'tiny')),
  dataset: {
    length: 200,
    classes: ['a', 'b'],
    get: () => ({ image: transformFixture(image), label: 0 }),
  },
  images: nodePlatform.images,
  mode: 'train',
  batchSize: 8,
  workers: 2,
  seed: 0,
});
try {
  for await (const { images } of loader.epoch(0)) {
    loader.recycle(images);
    if (how === 'closed while busy' || how?.startsWith('left')) break;
  }
} catch (error) {
  if (!(error instanceof DatasetError)) throw error;
}
if (how?.startsWith('closed')) await loader.close();
