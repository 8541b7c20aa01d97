/**
 * Lists a folder of images and checks them, once. Argument: data folder. Prints one JSON line: the seconds of
 * each, and the growth of resident memory in bytes, after the listing (index) and after the check.
 */

import path from 'node:path';
import {
  bundledArtifacts,
  ImageFolder,
  LoaderPool,
  openArtifacts,
  checkImages,
  nodePlatform,
} from '../../dist/src/internal.js';

const artifacts = await openArtifacts(bundledArtifacts());
const pool = new LoaderPool({ images: nodePlatform.images, artifacts, workers: 4 });
const small = await ImageFolder.open(path.join(process.argv[2] ?? '', 'warm'));
await pool.inspect(
  small.samples.map(({ image }) => image),
  {},
);
const before = process.memoryUsage.rss();
const since = (start) => (performance.now() - start) / 1000;

let start = performance.now();
const folder = await ImageFolder.open(path.join(process.argv[2] ?? '', 'train'));
const found = { files: folder.length, index: since(start) };
found.indexBytes = process.memoryUsage.rss() - before;
start = performance.now();
const { cached } = await checkImages(folder, pool);
found.check = since(start);
found.checkBytes = process.memoryUsage.rss() - before;
found.known = cached;
await pool.close();
process.stdout.write(`${JSON.stringify(found)}\n`);
