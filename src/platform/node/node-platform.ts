/** Node.js as the platform. Only the entries (index.ts, internal.ts, cli/) and tests import it. */

import type { Platform } from '../platform.js';
import { nodeFiles } from './files.js';
import { gunzip } from './gzip.js';
import { sha256 } from './hash.js';
import { ortNode } from './ort-node.js';
import { sharpImages } from './sharp-images.js';
import { nodeZip } from './zip.js';

export const nodePlatform: Platform = {
  files: nodeFiles,
  sha256,
  gunzip,
  zip: nodeZip,
  images: sharpImages,
  ort: ortNode,
};
