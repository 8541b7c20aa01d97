/** A hash that tells the data of one run from that of another. */

import { createHash } from 'node:crypto';
import type { DataFile, Dataset } from './dataset.js';

/** The data that a fingerprint stands for. */
export interface FingerprintedData {
  readonly train: Dataset;
  readonly val: Dataset;
  /** The image files of both; none of data sets in code. */
  readonly files: readonly DataFile[];
  /** Weights of the classes in the training loss; undefined if all are 1. */
  readonly classWeights: readonly number[] | undefined;
}

/** Returns a SHA-256, in hexadecimal, that changes when the data of a run changes. */
export function dataFingerprint({ train, val, files, classWeights }: FingerprintedData): string {
  const hash = createHash('sha256');
  if (classWeights !== undefined) hash.update(JSON.stringify({ classWeights }));
  for (const dataset of [train, val]) {
    const { classes, length } = dataset;
    hash.update(JSON.stringify({ classes, length, fingerprint: dataset.fingerprint ?? null }));
  }
  for (const { name, sha256 } of files) hash.update(JSON.stringify([name, sha256]));
  return hash.digest('hex');
}
