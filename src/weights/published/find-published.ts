/** Finds the published weights of a network: in the cache, or at their publisher's address. */

import type { PretrainedSpec } from '../../artifacts/manifest.js';
import { WeightsError } from '../../common/errors.js';
import { cacheFolder } from '../../common/node/cache-folder.js';
import type { Files } from '../../platform/platform.js';
import { checkConverted, convertedFile, isPackaged } from './converted.js';
import { CHOICES, fetchPretrained, type FetchOptions, hasUrl } from './download.js';

export interface FindOptions extends FetchOptions {
  /** Network, for messages. */
  readonly arch: string;
  readonly files: Files;
}

/**
 * Returns the path of a verified weight file. Weights of a Python package are found if `setup-weights` has put them into
 * the cache; weights with an address are downloaded.
 *
 * @throws WeightsError if they are not there, were changed, or do not arrive whole and with the right hash.
 */
export async function findPublished(spec: PretrainedSpec, options: FindOptions): Promise<string> {
  const { arch, files, cache = cacheFolder() } = options;
  if (isPackaged(spec)) {
    const file = convertedFile(spec, cache);
    if (await checkConverted(file, spec, files)) return file;
  }
  if (hasUrl(spec)) return fetchPretrained(spec, options);
  if (!isPackaged(spec)) {
    throw new WeightsError(
      `expected an address of the weights ${spec.name} of ${arch}, found none; fetch them from their publisher ` +
        `(${spec.licence}), and use --weights FILE, or use --weights random (no pretraining)`,
    );
  }
  throw new WeightsError(
    `expected the published weights of ${arch} in ${cache}, found none; run "npm run setup:weights -- ${arch}", which ` +
      `takes them from the Python package ${spec.package.name}, ${CHOICES}`,
  );
}
