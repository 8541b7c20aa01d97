/** Node.js as the platform. Only the entries (index.ts, internal.ts, cli/) and tests import it. */

import type { Platform } from '../platform.js';
import { nodeFiles } from './files.js';
import { sha256 } from './hash.js';
import { nodeZip } from './zip.js';

export const nodePlatform: Omit<Platform, 'images' | 'ort'> = {
  files: nodeFiles,
  sha256,
  zip: nodeZip,
};
