/** Trains, resumes, exports and evaluates each network that comes with the package. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { architectures, bundledArtifacts } from '../../src/artifacts/node/bundled-artifacts.js';
import { openArtifacts } from '../../src/platform/node/defaults.js';
import { makeData } from '../support/run-process.js';
import { CLI } from '../support/paths.js';

let dir: string;
let data: string;
beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'architectures-'));
  data = await makeData(path.join(dir, 'data'), 2, 1);
});
afterAll(() => rm(dir, { recursive: true }));

async function call(...words: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [CLI, ...words], { cwd: dir });
  return stdout;
}

describe.each(architectures())('%s', (arch) => {
  test('has parameters of its own', async () => {
    const { manifest } = await openArtifacts(bundledArtifacts(arch));
    expect(manifest.arch).toBe(arch);
    const counts: Readonly<Record<string, number>> = {
      ...{ resnet18: 62, resnet34: 110, resnet50: 161 },
      ...{ efficientnet_lite0: 149, efficientnet_b0: 213 },
      ...{ mobilenet_v2: 158, mobilenet_v3_small: 142, mobilenet_v3_large: 174 },
    };
    expect(manifest.parameters).toHaveLength(counts[arch] ?? NaN);
    const { pretrained } = manifest;
    // Two networks take their weights from a package.
    if (pretrained?.package === null) expect(pretrained.url).toMatch(new RegExp(`${arch}[-_]`));
    else expect(pretrained?.names).not.toBeNull();
  });

  test('trains, resumes, is exported and evaluated without being named again', async () => {
    const words = ['--data', data, '--weights', 'random', '--device', 'cpu', '--workers', '1'];
    const more = ['--batch-size', '2', '--epochs', '1', '--out', arch, '--quiet'];
    expect(await call('train', '--arch', arch, ...words, ...more)).toBe('');
    await expect(call('train', '--resume', arch, '--arch', 'resnet101')).rejects.toThrow(
      new RegExp(`--arch was "${arch}", is "resnet101"`),
    );
    await call('train', '--resume', arch, '--epochs', '2', '--quiet');
    expect(await call('export-inference', '--run', arch)).toContain('model.onnx');
    const judged = [];
    for (const source of [
      ['--run', arch],
      ['--model', path.join(arch, 'model.onnx')],
    ]) {
      const text = await call('evaluate', ...source, '--data', data, '--json', '--workers', '1');
      judged.push(JSON.parse(text) as { images: number; loss: number });
    }
    expect(judged[0]?.images).toBe(2);
    expect(judged[1]?.loss).toBeCloseTo(judged[0]?.loss ?? NaN, 4);
  }, 240_000);
});
