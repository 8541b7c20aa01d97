/** SHA-256 by Node.js. */

import { createHash } from 'node:crypto';
import type { Hash } from '../platform.js';

/** Starts a SHA-256. */
export function sha256(): Hash {
  const hash = createHash('sha256');
  return {
    update: (bytes) => {
      hash.update(bytes);
    },
    digest: () => hash.digest('hex'),
  };
}
