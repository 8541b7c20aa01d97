/** ONNX Runtime by onnxruntime-node, in worker threads. */

import { Worker } from 'node:worker_threads';
import { messageOf } from '../../common/format.js';
import { runApart } from '../../common/node/run-apart.js';
import type { OrtBackend } from '../platform.js';

/** Milliseconds after which a provider is given up. The first use of a GPU may compile for a minute. */
const PROBE_TIMEOUT_MS = 180_000;

export const ortNode: OrtBackend = {
  startThread: () =>
    new Worker(new URL('./ort-thread.js', import.meta.url), {
      // The process's own flags (--input-type, a test runner's loader) are not meant for the thread.
      execArgv: [],
    }),
  loadProblem: async (provider, artifacts) => {
    const script = new URL('./ort-probe.js', import.meta.url);
    try {
      const { value } = await runApart(script, [provider, artifacts], PROBE_TIMEOUT_MS);
      return value as string | null;
    } catch (error) {
      return messageOf(error);
    }
  },
};
