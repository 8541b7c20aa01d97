/**
 * Published weights that `setup-weights` took out of a Python package: a safetensors file in the cache with the
 * network's names, head included.
 */

import { createHash } from 'node:crypto';
import path from 'node:path';
import type { PretrainedSpec, WeightPackage } from '../../artifacts/manifest.js';
import { WeightsError } from '../../common/errors.js';
import type { Tensor } from '../../common/tensor.js';
import type { Files } from '../../platform/platform.js';
import { encodeSafetensors, openSafetensors } from '../safetensors.js';

/** Published weights in a Python package, with the SHA-256 of their file. */
export type PackagedWeights = PretrainedSpec & {
  readonly package: WeightPackage;
  readonly sha256: string;
};

/** Checks whether published weights are in a Python package. */
export function isPackaged(spec: PretrainedSpec): spec is PackagedWeights {
  return spec.package !== null && spec.sha256 !== null;
}

/**
 * Returns the path of the converted file in the cache. Its name depends on the file it was converted from and on the
 * names that the tensors got.
 */
export function convertedFile(spec: PackagedWeights, cache: string): string {
  const stem = path.posix.parse(spec.package.member).name;
  const recipe = new TextEncoder().encode(JSON.stringify([spec.sha256, spec.names]));
  return path.join(cache, `${stem}-${hashOf([recipe]).slice(0, 8)}.safetensors`);
}

/** Writes tensors as a converted file, whole or not at all. The folder must exist. */
export async function writeConverted(
  file: string,
  spec: PackagedWeights,
  tensors: ReadonlyMap<string, Tensor>,
  files: Files,
): Promise<void> {
  const { name, licence } = spec;
  const [, ...data] = encodeSafetensors(tensors);
  const metadata = { source: name, licence, dataSha256: hashOf(data) };
  await files.write(file, encodeSafetensors(tensors, metadata));
}

/**
 * Checks a converted file against the hash that was taken when it was written.
 *
 * @returns whether it is there.
 * @throws WeightsError if it was changed since.
 */
export async function checkConverted(
  file: string,
  spec: PackagedWeights,
  files: Files,
): Promise<boolean> {
  if (!(await files.exists(file))) return false;
  const recorded = await openSafetensors(file, files, (_, metadata) =>
    Promise.resolve(metadata.get('dataSha256')),
  ).catch(() => undefined);
  const bytes = await files.read(file);
  if (recorded !== undefined) {
    const header = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    if (hashOf([bytes.subarray(8 + header)]) === recorded) return true;
  }
  throw new WeightsError(
    `expected the weights ${spec.name} as setup-weights wrote them in ${file}, found other bytes; run setup-weights again`,
  );
}

function hashOf(chunks: readonly Uint8Array[]): string {
  const hash = createHash('sha256');
  for (const chunk of chunks) hash.update(chunk);
  return hash.digest('hex');
}
