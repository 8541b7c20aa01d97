/** The manifests of the networks below the package's own `artifacts/`. */

import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { decodeJson } from '../../common/json.js';
import type { Manifest } from '../manifest.js';
import { architectures, bundledArtifacts } from './bundled-artifacts.js';

/**
 * Reads the manifest of every network. One that cannot be read is left out: this list is for messages and choices,
 * and opening such a folder says what is wrong with it.
 */
export async function bundledManifests(): Promise<Manifest[]> {
  const manifests: Manifest[] = [];
  for (const arch of architectures()) {
    const file = path.join(bundledArtifacts(arch), 'manifest.json');
    const bytes = await readFile(file).catch(() => null);
    if (bytes === null) continue;
    try {
      manifests.push(decodeJson(bytes) as Manifest);
    } catch {
      // Left out.
    }
  }
  return manifests;
}
