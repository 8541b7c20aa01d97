/**
 * Epochs of this project's loader, timed on request: `{"cache": "none"}` a line on standard input (or
 * `"ram"`, whose first epoch fills the cache), `{"ms": an image}` a line on standard output. Arguments: data
 * folder, its `train` is read.
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
} from '../../dist/src/internal.js';

const artifacts = await openArtifacts(bundledArtifacts());
const pool = new LoaderPool({ artifacts, workers: 4 });
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
