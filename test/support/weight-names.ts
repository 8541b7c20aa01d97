/** Names and shapes of weight files, without their data. */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Manifest } from '../../src/artifacts/manifest.js';
import { stateLayout } from '../../src/artifacts/state-layout.js';
import type { FoundTensor } from '../../src/weights/contents.js';

export type Found = Map<string, FoundTensor>;

/** Reads the manifest of an artifact folder. */
export function manifestOf(folder: string): Manifest {
  return JSON.parse(readFileSync(path.join(folder, 'manifest.json'), 'utf8')) as Manifest;
}

/** Returns a network's state_dict as torchvision saves it, with 1000 classes. */
export function stateDict(manifest: Manifest): Found {
  const entries = stateLayout(manifest, 1000).filter(({ role }) => role !== 'momentum');
  return new Map(entries.map(({ name, dtype, shape }) => [name, { dtype, shape }]));
}

export function prefixed(found: Found, prefix: string): Found {
  return new Map([...found].map(([name, tensor]) => [prefix + name, tensor]));
}

export function tensor(...shape: number[]): FoundTensor {
  return { dtype: 'float32', shape };
}

/** Returns tensors of which only the names matter. */
export function named(...names: string[]): Found {
  return new Map(names.map((name) => [name, tensor(1)]));
}
