/**
 * Times epochs of this project's loader on request. Reads one request per line, `{"cache": "none"}` or
 * `{"cache": "ram"}` (whose first epoch fills the cache); answers `{"ms": milliseconds per image}`. Argument:
 * data folder, of which it reads `train`.
 */

import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import {
  bundledArtifacts,
  DataLoader,
  ImageFolder,
  LoaderPool,
  openArtifacts,
  ImageCache,
  nodePlatform,
} from '../../dist/src/internal.js';

const artifacts = await openArtifacts(bundledArtifacts());
const pool = new LoaderPool({ images: nodePlatform.images, artifacts, workers: 4 });
const dataset = await ImageFolder.open(path.join(process.argv[2] ?? '', 'train'));
const options = { artifacts, pool, dataset, mode: 'train', batchSize: 4, seed: 0 };
const loaders = {
  none: new DataLoader(options),
  ram: new DataLoader({ ...options, cache: new ImageCache(2e9) }),
};
let epoch = 0;
const lines = createInterface({ input: process.stdin });
lines.on('line', async (line) => {
  const loader = loaders[JSON.parse(line).cache];
  const start = performance.now();
  for await (const { images } of loader.epoch(epoch++)) loader.recycle(images);
  const ms = (performance.now() - start) / dataset.length;
  process.stdout.write(`${JSON.stringify({ ms })}\n`);
});
await once(lines, 'close');
await pool.close();
