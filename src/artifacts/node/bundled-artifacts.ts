/** The artifact folders that ship with the npm package. */

import path from 'node:path';
import { PACKAGE_ROOT } from '../../common/node/package-info.js';

/**
 * Returns the folder of the artifacts that ship with the package.
 *
 * @param arch one of ARCHITECTURES; default `resnet18`.
 * @example
 * const artifacts = await openArtifacts(bundledArtifacts('resnet50'));
 */
export function bundledArtifacts(arch = 'resnet18'): string {
  return path.join(PACKAGE_ROOT, 'artifacts', arch);
}
