/** Tests that work whose result does not change is done once: reading folders, loading the evaluation graph. */

import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { execFile } from 'node:child_process';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { exportInference } from '../../src/export/export-inference.js';
import { train, type TrainResult } from '../../src/index.js';
import { openArtifacts } from '../../src/platform/node/defaults.js';
import { nodePlatform } from '../../src/platform/node/node-platform.js';
import type { OrtBackend } from '../../src/platform/platform.js';
import { CLASSES, makeData } from '../support/run-process.js';
import { TINY, testProgram } from '../support/paths.js';

const SHORT = { artifacts: TINY, weights: 'random', device: 'cpu', workers: 1, epochs: 1 } as const;

let dir: string;
let run: TrainResult;

beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'read-once-'));
  const data = await makeData(path.join(dir, 'data'), 4, 2);
  // An image without an extension is known by its first bytes.
  for (const split of ['train', 'val']) {
    for (const name of CLASSES) {
      const at = path.join(data, split, name);
      await rename(path.join(at, '0.png'), path.join(at, 'unnamed'));
      await mkdir(path.join(at, 'deeper'));
      await rename(path.join(at, '1.png'), path.join(at, 'deeper', 'unnamed'));
    }
  }
  run = await train({ ...SHORT, data, out: path.join(dir, 'run') });
});
afterAll(async () => {
  await rm(dir, { recursive: true });
});

async function counted(data: string, more: string): Promise<[string, number][]> {
  const options = { ...SHORT, out: path.join(dir, 'counted') };
  const words = [testProgram('support/count-reads'), data, JSON.stringify(options), more];
  const env = { ...process.env, NODE_OPTIONS: '', ORT_FINETUNE_CACHE: path.join(dir, 'cache') };
  const { stdout } = await promisify(execFile)(process.execPath, words, { env });
  return Object.entries(JSON.parse(stdout) as Record<string, number>);
}

test.each(['train', 'evaluate'])(
  '%s reads a folder, and the head of a file, once',
  async (what) => {
    const counts = await counted(path.join(dir, 'data'), what === 'train' ? '' : run.runDir);
    const split = what === 'train' ? 'train' : 'val';
    for (const name of CLASSES) {
      const at = path.join(split, name);
      const wanted = [at, path.join(at, 'deeper')].flatMap((folder) => [
        [`readdir ${folder}`, 1],
        [`open ${path.join(folder, 'unnamed')}`, 1],
      ]);
      expect(counts).toEqual(expect.arrayContaining(wanted));
    }
    const again = counts.filter(([, count]) => count > 1).map(([name]) => name);
    expect(again.filter((name) => name.startsWith('readdir'))).toEqual([]);
  },
);

/** Returns ONNX Runtime that keeps a copy of each model which a thread loads. */
function noting(loaded: Uint8Array[]): OrtBackend {
  return {
    ...nodePlatform.ort,
    startThread: () => {
      const thread = nodePlatform.ort.startThread();
      const post = thread.postMessage.bind(thread);
      thread.postMessage = (message, transfer) => {
        const { request } = message as { request?: { kind: string; model: Uint8Array } };
        if (request?.kind === 'load') loaded.push(Uint8Array.from(request.model));
        post(message, transfer);
      };
      return thread;
    },
  };
}

test.each([
  ['plain', {}, 2],
  ['of probabilities', { probabilities: true }, 3],
  ['in 8 bits', { compression: 'int8', skipReplay: false, maxAccuracyDrop: 1 }, 4],
  ['with raw images', { rawImages: true }, 4],
] as const)('an export %s loads the evaluation graph once', async (_, form, models) => {
  const loaded: Uint8Array[] = [];
  const graph = await (await openArtifacts(TINY)).readGraph('evaluate');
  const platform = { ...nodePlatform, ort: noting(loaded) };
  const out = path.join(dir, 'model.onnx');
  const options = { run: run.runDir, artifacts: TINY, out, skipReplay: true };
  await exportInference({ ...options, ...form }, 'option', platform);
  expect(loaded.filter((model) => Buffer.from(graph).equals(model))).toHaveLength(1);
  expect(loaded).toHaveLength(models);
});
