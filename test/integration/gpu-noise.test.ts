/** Tests that GPU libraries print nothing between the lines of a command, whether the GPU can be used or not. */

import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { CHROMIUM_ADVICE, findSwiftShader } from '../support/chromium.js';
import { TINY } from '../support/paths.js';
import { call, makeData, trainWords } from '../support/run-process.js';

/** Description file of llvmpipe, of which ONNX Runtime's WebGPU prints that a feature is missing. */
const LLVMPIPE = '/usr/share/vulkan/icd.d/lvp_icd.x86_64.json';
const NO_DRIVER = path.join(path.sep, 'no', 'driver.json');

let dir: string;
let data: string;

beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'gpu-noise-'));
  data = await makeData(path.join(dir, 'data'), 4, 2);
});
afterAll(async () => {
  await rm(dir, { recursive: true });
});

function words(command: string, device: string): string[] {
  const out = path.join(dir, `${command}-${device}`);
  if (command === 'train') return trainWords(data, out, '--device', device, '--epochs', '1');
  const given = ['--data', data, '--artifacts', TINY, '--weights', 'random', '--device', device];
  return ['find-lr', ...given, '--workers', '1', '--steps', '10', '--out', `${out}.html`];
}

test.each([
  ['train', 'no driver', NO_DRIVER],
  ['find-lr', 'no driver', NO_DRIVER],
  ['train', 'llvmpipe alone', LLVMPIPE],
  ['find-lr', 'llvmpipe alone', LLVMPIPE],
])('%s --device webgpu with %s ends with one line', async (command, _, driver) => {
  const env = { VK_ICD_FILENAMES: driver, XDG_RUNTIME_DIR: '' };
  const { code, stderr } = await call(words(command, 'webgpu'), { cwd: dir, env });
  expect(code).toBe(1);
  expect(stderr.trimEnd().split('\n')).toEqual([
    expect.stringMatching(/^error: expected the webgpu provider to load, got: .*; install a GPU/),
  ]);
});

test('--device auto is silent where no GPU can be used', async () => {
  const env = { VK_ICD_FILENAMES: NO_DRIVER, XDG_RUNTIME_DIR: '' };
  const { code, stderr } = await call(words('find-lr', 'auto'), { cwd: dir, env });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
});

const icd = findSwiftShader();
const where = icd !== null || process.env.CI ? test : test.skip;
where('a GPU that works is silent though llvmpipe is installed beside it', async () => {
  if (icd === null) throw new Error(CHROMIUM_ADVICE);
  const drivers = [icd, LLVMPIPE].filter((file) => existsSync(file));
  const env = { VK_ICD_FILENAMES: drivers.join(path.delimiter), XDG_RUNTIME_DIR: '' };
  const { code, stderr } = await call(words('find-lr', 'webgpu'), { cwd: dir, env });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
});
