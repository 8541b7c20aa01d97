/** ONNX Runtime by onnxruntime-node, in worker threads. */

import { Worker } from 'node:worker_threads';
import type { OrtBackend } from '../platform.js';

export const ortNode: OrtBackend = {
  startThread: () =>
    new Worker(new URL('./ort-thread.js', import.meta.url), {
      // The process's own flags (--input-type, a test runner's loader) are not meant for the thread.
      execArgv: [],
    }),
};
