/** Tests the list of networks, and the choice of their artifacts by name and input size. */

import { expect, test } from '@jest/globals';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import {
  architectures,
  bundledArtifacts,
  openNetwork,
} from '../../../src/artifacts/node/bundled-artifacts.js';
import { ConfigError } from '../../../src/common/errors.js';
import { findLr, train } from '../../../src/index.js';
import { nodePlatform } from '../../../src/platform/node/node-platform.js';
import { ROOT, SAMPLES, TINY } from '../../support/paths.js';

test('the list holds the folders of artifacts/, timm/NAME for timm-NAME', () => {
  const folders = readdirSync(path.join(ROOT, 'artifacts')).map((name) => name.replace(/-\d+$/, ''));
  const names = [...new Set(folders)].map((name) => name.replace(/^timm-/, 'timm/'));
  expect(architectures()).toEqual(names.sort());
  expect(architectures()).toContain('resnet18');
  expect(path.basename(bundledArtifacts('timm/tf_x'))).toBe('timm-tf_x');
});

test('an unknown network gets the list, and the command that builds it', async () => {
  for (const attempt of [
    train({ data: SAMPLES, arch: 'resnet7' }),
    findLr({ data: SAMPLES, arch: 'resnet7' }),
    openNetwork({ arch: 'resnet7' }, nodePlatform),
  ]) {
    await expect(attempt).rejects.toThrow(ConfigError);
    await expect(attempt).rejects.toThrow(
      /one of (the networks )?.*resnet18, .*build it with "npm run artifacts -- --arch resnet7"/,
    );
  }
});

test('another input size gets the command that builds it', async () => {
  const attempt = openNetwork({ arch: 'resnet18', inputSize: 333 }, nodePlatform);
  await expect(attempt).rejects.toThrow(ConfigError);
  await expect(attempt).rejects.toThrow(
    /resnet18 for inputs of 333 pixels, found 224 in .*"npm run artifacts -- --arch resnet18 --input-size 333"/,
  );
  await expect(openNetwork({ artifacts: TINY, inputSize: 64 }, nodePlatform)).rejects.toThrow(
    'artifacts of tiny for inputs of 64 pixels, found 32',
  );
});

test("the network's own input size may be named", async () => {
  const { manifest } = await openNetwork({ artifacts: TINY, inputSize: 32 }, nodePlatform);
  expect(manifest.arch).toBe('tiny');
});
