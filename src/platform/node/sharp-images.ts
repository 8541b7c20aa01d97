/** Image decoding by sharp, here and in worker threads. */

import { Worker } from 'node:worker_threads';
import type { ImageBackend } from '../platform.js';

export const sharpImages: ImageBackend = {
  async decode(image, name, exif) {
    // sharp takes long to load, and not every command decodes images.
    const { decodeImage } = await import('./sharp-decoder.js');
    return decodeImage(image, name, exif);
  },
  startThread: (setup) =>
    new Worker(new URL('./image-thread.js', import.meta.url), {
      workerData: setup,
      // The process's own flags (--input-type, a test runner's loader) are not meant for the thread.
      execArgv: [],
    }),
};
