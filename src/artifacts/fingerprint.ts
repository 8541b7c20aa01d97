/** A hash that tells the graphs and the preprocessing of one run from those of another. */

import type { Hash } from '../platform/platform.js';
import type { Manifest } from './manifest.js';

/**
 * Returns the settings of preprocessing that the first manifest format had. `cropFraction` is left out: `resizeSize` follows from
 * it, and runs and models of earlier versions do not have it.
 */
export function pixelSettings(preprocessing: unknown): unknown {
  if (typeof preprocessing !== 'object' || preprocessing === null) return preprocessing;
  const entries: [string, unknown][] = Object.entries(preprocessing);
  return Object.fromEntries(entries.filter(([name]) => name !== 'cropFraction'));
}

/**
 * Returns a SHA-256, in hexadecimal, that changes when a graph, the preprocessing or the layout of masks does. How
 * graphs are stored does not matter.
 */
export function artifactsFingerprint(
  { preprocessing, graphs, masks }: Pick<Manifest, 'preprocessing' | 'graphs' | 'masks'>,
  hash: Hash,
): string {
  const encoder = new TextEncoder();
  const add = (text: string): void => {
    hash.update(encoder.encode(text));
  };
  // No graph holds the ranges of the crops, the probability of a flip, or those of dropout.
  add(JSON.stringify(pixelSettings(preprocessing)));
  for (const { sha256 } of Object.values(graphs)) add(sha256);
  if (masks !== null) add(JSON.stringify(masks));
  return hash.digest();
}
