/** The command `demo --pretrained`: a network with its published weights learns photographs of foods. */

import path from 'node:path';
import { bundledManifests } from '../artifacts/node/bundled-manifests.js';
import { claimRunDir, removeEmpty } from '../checkpoint/run-lock.js';
import { ConfigError } from '../common/errors.js';
import type { TrainEvent, TrainResult } from '../common/events.js';
import { exportModel } from './export-inference.js';
import { commandLine, type Output } from './output/output.js';
import { trainWithOutput } from './train.js';

/** Settings for a few hundred images on two cores: the head alone learns, and the images stay decoded in memory. */
const SETTINGS = {
  freeze: 'backbone',
  epochs: 5,
  batchSize: 16,
  lr: 0.01,
  schedule: 'cosine',
  cache: 'ram',
  device: 'cpu',
} as const;

export interface PretrainedDemo {
  readonly arch: string;
  /** Null for published weights, and random ones after them for comparison. */
  readonly weights: 'imagenet' | 'random' | null;
  /** Seed of the split, of the order of the images and of fresh weights. */
  readonly seed: number;
  /** Run folder; undefined for the next free `runs/demo-N`. */
  readonly out: string | undefined;
}

/**
 * Puts the weights and the images into the cache where they are missing, trains, exports the model, and prints the
 * accuracy.
 */
export async function runPretrainedDemo(demo: PretrainedDemo, output: Output): Promise<void> {
  const { arch, seed } = demo;
  if (demo.weights !== 'random') await fetchWeights(arch, output);
  const { foodsFolder } = await import('../data/foods/foods.js');
  const own = `use images of your own: ${commandLine('train', `--data DIR --arch ${arch} --freeze backbone`)}`;
  const data = await foodsFolder({ seed, onLine: output.info, advice: own });
  const claimed = demo.out === undefined ? await claimRunDir('demo') : [];
  const out = demo.out ?? path.relative('', claimed[0] ?? '');
  const shared = { ...SETTINGS, arch, seed, data };
  try {
    const weights = demo.weights ?? 'imagenet';
    const result = await trainAndCount({ ...shared, weights, out }, output);
    for (const line of await exportModel({ run: result.runDir })) output.info(line);
    const shown = [`${percent(result.bestAccuracy)} from ${weights} weights`];
    if (demo.weights === null) {
      output.info('For comparison, the same from random weights');
      const random = { ...shared, weights: 'random', out: `${out}-random` };
      const { bestAccuracy } = await trainAndCount(random, output);
      shown.push(`${percent(bestAccuracy)} from random weights`);
    }
    output.info(`Accuracy on ${result.valImages} other images: ${shown.join(', ')}`);
    output.info(`Next: ${commandLine('train', `--data DIR --arch ${arch} --freeze backbone`)}`);
  } finally {
    await removeEmpty(claimed);
  }
}

/** Trains, and counts the images for validation. */
async function trainAndCount(
  options: Parameters<typeof trainWithOutput>[0],
  output: Output,
): Promise<TrainResult & { readonly valImages: number }> {
  let valImages = 0;
  const { listener } = output;
  const counting = {
    clear: () => {
      listener.clear();
    },
    handle: (event: TrainEvent) => {
      if (event.type === 'start') ({ valImages } = event);
      listener.handle(event);
    },
  };
  const result = await trainWithOutput(options, { ...output, listener: counting });
  return { ...result, valImages };
}

/** Puts the network's published weights into the cache, unless they are there. */
async function fetchWeights(arch: string, output: Output): Promise<void> {
  const manifests = await bundledManifests();
  const manifest = manifests.find((one) => one.arch === arch);
  if (manifest === undefined) {
    const names = manifests.map((one) => one.arch).join(', ');
    throw new ConfigError(`expected one of ${names} for --arch, got ${arch}; choose one of them`);
  }
  const { setupWeights } = await import('../weights/published/setup-weights.js');
  const { nodePlatform } = await import('../platform/node/node-platform.js');
  const knownManifests = (): Promise<typeof manifests> => Promise.resolve(manifests);
  await setupWeights(manifest, { knownManifests, onLine: output.info }, nodePlatform);
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
