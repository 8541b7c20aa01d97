/** The findings of `doctor`. Holds: libraries do not print between a command's own lines. */

import { execFile } from 'node:child_process';
import path from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { autoChoice, type DeviceReport, type Diagnosis } from '../../../src/devices/doctor.js';
import { loadLibrary } from '../../../src/common/node/native-library.js';
import type { Provider } from '../../../src/session/ort-worker-messages.js';
import { realGpu, vulkanReport, type VulkanDevice } from '../../../src/devices/vulkan.js';
import { CHROMIUM_ADVICE, findSwiftShader } from '../../support/chromium.js';
import { CLI } from '../../support/paths.js';

function call(
  words: string[],
  more: Record<string, string> = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  const env = { ...process.env, NODE_OPTIONS: '', ...more };
  return new Promise((resolve) => {
    execFile(process.execPath, [CLI, ...words], { env }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr });
    });
  });
}

function device(diagnosis: Diagnosis, name: Provider): DeviceReport {
  const found = diagnosis.devices.find((report) => report.device === name);
  if (found === undefined) throw new Error(`no ${name} in the diagnosis`);
  return found;
}

describe('doctor', () => {
  test('says of every device what is there, as text and as JSON', async () => {
    const text = await call(['doctor']);
    expect(text.code).toBe(0);
    expect(text.stdout).toMatch(/^cpu: works$/m);
    expect(text.stdout).toMatch(/^cuda: /m);
    expect(text.stdout).toMatch(/^webgpu: /m);
    const json = await call(['doctor', '--json']);
    const diagnosis = JSON.parse(json.stdout) as Diagnosis;
    expect(text.stdout).toContain(`--device auto takes ${diagnosis.auto}`);
    expect(device(diagnosis, 'cpu').usable).toBe(true);
    for (const { usable, checks } of diagnosis.devices) {
      expect(usable).toBe(checks.every(({ problem }) => problem === null));
      for (const { problem, note } of checks) expect(problem ?? note).not.toBe('');
    }
  });

  test('exits with 1 where the device that is asked for cannot be used', async () => {
    const env = { VK_ICD_FILENAMES: path.join(path.sep, 'no', 'driver.json') };
    const { code, stdout } = await call(['doctor', '--device', 'webgpu', '--json'], env);
    const { usable, checks } = device(JSON.parse(stdout) as Diagnosis, 'webgpu');
    expect(code).toBe(usable ? 0 : 1);
    if (process.platform !== 'linux') return;
    const reasons = checks.flatMap(({ problem }) => problem ?? []);
    expect(reasons.join('; ')).toMatch(/no Vulkan driver|cannot open shared object file/);
    expect((await call(['doctor', '--device', 'cpu'], env)).code).toBe(0);
    const wrong = await call(['doctor', '--device', 'tpu']);
    expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('got "tpu"')]);
  });

  test.each([
    ['no folder for displays', ['doctor'], { XDG_RUNTIME_DIR: '' }],
    ['one that libwayland refuses', ['doctor', '--json'], { XDG_RUNTIME_DIR: 'relative' }],
    ['one that is not there', ['doctor', '--device', 'cpu'], { XDG_RUNTIME_DIR: '/none' }],
    ['loaders that tell all', ['doctor'], { VK_LOADER_DEBUG: 'all', XDG_RUNTIME_DIR: '' }],
  ] as const)('prints no line of a library: %s', async (_, words, env) => {
    const { code, stdout, stderr } = await call([...words], env);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/cpu/);
  });

  const icd = findSwiftShader();
  const where = icd !== null || process.env.CI ? test : test.skip;
  where('a software GPU works, but auto does not take it', async () => {
    if (icd === null) throw new Error(CHROMIUM_ADVICE);
    const { stdout } = await call(['doctor', '--json'], { VK_ICD_FILENAMES: icd });
    const diagnosis = JSON.parse(stdout) as Diagnosis;
    expect(device(diagnosis, 'webgpu')).toMatchObject({ usable: true, software: true });
    expect(stdout).toContain('SwiftShader');
    expect(diagnosis.auto).not.toBe('webgpu');
  });
});

test('auto: CUDA, then WebGPU on a real GPU, then the CPU', () => {
  const report = (name: Provider, usable = true, software = false): DeviceReport => ({
    ...{ device: name, usable, software, checks: [] },
  });
  const cpu = report('cpu');
  expect(autoChoice([cpu, report('cuda'), report('webgpu')])).toBe('cuda');
  expect(autoChoice([cpu, report('cuda', false), report('webgpu')])).toBe('webgpu');
  expect(autoChoice([cpu, report('cuda', false), report('webgpu', true, true)])).toBe('cpu');
  expect(autoChoice([cpu, report('cuda', false), report('webgpu', false)])).toBe('cpu');
});

test('a software device is no GPU', async () => {
  const software: VulkanDevice = { name: 'SwiftShader', type: 'software' };
  const real: VulkanDevice = { name: 'GPU', type: 'integrated' };
  const of = (...devices: VulkanDevice[]) => ({ loader: '', problem: null, devices });
  expect(realGpu(of(software))).toBeUndefined();
  expect(realGpu(of(software, real))).toBe(real);
  const report = await vulkanReport();
  expect(report.problem === null || report.devices.length === 0).toBe(true);
});

test('a library is really loaded', () => {
  const own = { linux: 'libc.so.6', darwin: 'libSystem.dylib', win32: 'kernel32.dll' };
  const name = own[process.platform as keyof typeof own];
  expect(typeof loadLibrary(name)).toBe('object');
  expect(loadLibrary('libnothing-of-that-name.so')).toMatch(/./);
});
