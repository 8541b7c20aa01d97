import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { bundledArtifacts } from '../../../src/artifacts/node/bundled-artifacts.js';
import { openArtifacts } from '../../../src/platform/node/defaults.js';
import { openDevice } from '../../../src/devices/choose-device.js';
import { ArtifactError, DeviceError } from '../../../src/common/errors.js';
import { TINY } from '../../support/paths.js';
import { readStored } from '../../support/stored-graph.js';
import { nodePlatform } from '../../../src/platform/node/node-platform.js';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'artifacts-test-'));
  await cp(TINY, dir, { recursive: true });
});
afterEach(async () => {
  await rm(dir, { recursive: true });
});

describe('openArtifacts', () => {
  test('opens what ships with the package', async () => {
    const { manifest } = await openArtifacts(bundledArtifacts());
    expect(manifest.arch).toBe('resnet18');
    expect(manifest.parameters).toHaveLength(62);
    expect(manifest.parameters.at(-2)).toMatchObject({ name: 'fc.weight', shape: ['C', 512] });
    expect(manifest.pretrained).toMatchObject({
      name: 'IMAGENET1K_V1',
      bytes: 46_830_571,
      sha256: 'f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec',
    });
  });

  test('refuses a folder without a manifest', async () => {
    const attempt = openArtifacts(path.join(dir, 'nowhere'));
    await expect(attempt).rejects.toThrow(ArtifactError);
    await expect(attempt).rejects.toThrow(/expected an artifact manifest at .*npm run artifacts/);
  });

  test('refuses a manifest that is not JSON, or of another format', async () => {
    const file = path.join(dir, 'manifest.json');
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.slice(0, -10));
    await expect(openArtifacts(dir)).rejects.toThrow('expected JSON in');
    await writeFile(file, text.replace('"formatVersion": 2', '"formatVersion": 1'));
    await expect(openArtifacts(dir)).rejects.toThrow('expected manifest format 2');
    await writeFile(file, 'null');
    await expect(openArtifacts(dir)).rejects.toThrow('expected manifest format 2');
  });

  test('refuses a graph that is missing or not the one the manifest names', async () => {
    const file = path.join(dir, 'train.onnx.gz');
    const bytes = readStored(dir, 'train');
    await writeFile(file, gzipSync(bytes, { level: 1 }));
    await openArtifacts(dir);
    bytes[100] = (bytes[100] ?? 0) ^ 1;
    await writeFile(file, gzipSync(bytes));
    await expect(openArtifacts(dir)).rejects.toThrow(/expected SHA-256 [0-9a-f]{64} for/);
    for (const damaged of [bytes, gzipSync(bytes).subarray(0, -9), '']) {
      await writeFile(file, damaged);
      await expect(openArtifacts(dir)).rejects.toThrow(/train\.onnx\.gz, found a file that is not gzip/);
    }
    await rm(file);
    await expect(openArtifacts(dir)).rejects.toThrow('expected the train graph at');
  });
});

test('a graph that an older folder lacks is asked for in vain', async () => {
  const file = path.join(dir, 'manifest.json');
  const text = await readFile(file, 'utf8');
  await writeFile(file, text.replace('"trainHead": {', '"trainOther": {'));
  const artifacts = await openArtifacts(dir);
  expect(() => artifacts.graphPath('trainHead')).toThrow(ArtifactError);
  expect(() => artifacts.graphPath('trainHead')).toThrow(
    /expected the trainHead graph in .*rebuild/,
  );
});

describe('openDevice', () => {
  test('takes the CPU as asked', async () => {
    const { runtime, reason } = await openDevice('cpu', 1, await openArtifacts(TINY), nodePlatform.ort);
    expect([runtime.provider, reason]).toEqual(['cpu', 'as asked']);
    await runtime.close();
  });

  // These two say what happens where there is no GPU.
  test('auto falls to the CPU and says why, of CUDA and of WebGPU', async () => {
    const { runtime, reason } = await openDevice('auto', 1, await openArtifacts(TINY), nodePlatform.ort);
    const { provider } = runtime;
    await runtime.close();
    expect(provider).toBe('cpu');
    expect(reason).toMatch(/^CUDA cannot be used: .+; WebGPU cannot be used: .+/);
  });

  test('a device by name is refused where it cannot be used, with what to install', async () => {
    const attempt = openDevice('cuda', 1, await openArtifacts(TINY), nodePlatform.ort);
    await expect(attempt).rejects.toThrow(DeviceError);
    await expect(attempt).rejects.toThrow(
      /expected the cuda provider to load, got: .*; run "npm run setup:cuda"/,
    );
  });
});
