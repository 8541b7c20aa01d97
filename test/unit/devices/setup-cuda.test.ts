import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { listSupportedBackends } from 'onnxruntime-node';
import {
  CUDA_LIBRARIES,
  PROVIDER_FILES,
  hasCudaBinding,
  libraryChecks,
  providerChecks,
  runtimeVersion,
} from '../../../src/devices/cuda.js';
import { setupCuda } from '../../../src/devices/setup-cuda.js';
import { DeviceError } from '../../../src/common/errors.js';
import { storedZip } from '../../support/stored-zip.js';

const dir = mkdtempSync(path.join(os.tmpdir(), 'cuda-setup-'));
afterAll(() => {
  rmSync(dir, { recursive: true });
});

let folders = 0;
function folder(): string {
  const made = path.join(dir, String(++folders));
  mkdirSync(made);
  return made;
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('base64url');

/** A wheel as PyPI's, its libraries being texts. */
function wheel(changes: Record<string, string> = {}): string {
  const contents = PROVIDER_FILES.map(
    (name) => [`onnxruntime/capi/${name}`, `I am ${name}`] as const,
  );
  const record = contents.map(([name, text]) => `${name},sha256=${sha256(text)},${text.length}\n`);
  const info = `onnxruntime_gpu-${runtimeVersion()}.dist-info/RECORD`;
  const file = path.join(folder(), 'some.whl');
  writeFileSync(
    file,
    storedZip({ ...Object.fromEntries(contents), [info]: record.join(''), ...changes }),
  );
  return file;
}

test('CUDA is looked for where onnxruntime-node knows it', () => {
  const names = listSupportedBackends().map(({ name }) => name);
  expect(names.includes('cuda')).toBe(hasCudaBinding());
});

const where = hasCudaBinding() ? describe : describe.skip;
where('setupCuda', () => {
  test('puts the provider of a wheel in place, and names every library that does not load', async () => {
    const target = folder();
    const lines: string[] = [];
    const onLine = (line: string): void => void lines.push(line);
    expect(providerChecks(target).map(({ problem }) => problem)).toEqual([
      'not found beside onnxruntime-node',
      'not found beside onnxruntime-node',
    ]);
    const checks = await setupCuda({ wheel: wheel(), folder: target, onLine });
    expect(readdirSync(target).sort()).toEqual([...PROVIDER_FILES].sort());
    for (const name of PROVIDER_FILES) {
      expect(readFileSync(path.join(target, name), 'utf8')).toBe(`I am ${name}`);
    }
    expect(providerChecks(target).map(({ problem }) => problem)).toEqual([null, null]);
    expect(lines.join('\n')).toContain(target);
    expect(checks).toHaveLength(CUDA_LIBRARIES.length);
  });

  test('a file that is not what the wheel says is refused, and nothing is left of it', async () => {
    const [shared] = PROVIDER_FILES;
    const changed = wheel({ [`onnxruntime/capi/${shared}`]: 'something else' });
    const target = folder();
    const attempt = setupCuda({ wheel: changed, folder: target });
    await expect(attempt).rejects.toThrow(DeviceError);
    await expect(attempt).rejects.toThrow(/SHA-256 .* recorded as/);
    expect(readdirSync(target)).toEqual([]);
  });

  test('the wheel of another version, and what is no wheel, are refused', async () => {
    const other = path.join(folder(), 'other.whl');
    writeFileSync(other, storedZip({ 'onnxruntime_gpu-1.0.0.dist-info/RECORD': '' }));
    await expect(setupCuda({ wheel: other, folder: folder() })).rejects.toThrow(
      `expected a wheel of onnxruntime-gpu ${runtimeVersion()}`,
    );
    writeFileSync(other, 'no archive');
    await expect(setupCuda({ wheel: other, folder: folder() })).rejects.toThrow(DeviceError);
  });

  test('links to libraries wherever they are, cuDNN also without its version', async () => {
    const [from, target] = [folder(), folder()];
    const files = ['a/lib/libcudart.so.13', 'b/libcudnn.so.9', 'b/libcudnn_graph.so.9'];
    for (const file of [...files, 'b/libcufile.so.0', 'b/libcudart_static.a']) {
      mkdirSync(path.dirname(path.join(from, file)), { recursive: true });
      writeFileSync(path.join(from, file), 'no library');
    }
    const checks = await setupCuda({ wheel: wheel(), libraries: from, folder: target });
    const links = readdirSync(target).filter((name) => !name.startsWith('libonnx'));
    expect(links.sort()).toEqual([
      ...['libcudart.so.13', 'libcudnn.so', 'libcudnn.so.9', 'libcudnn_graph.so.9'],
    ]);
    expect(readlinkSync(path.join(target, 'libcudnn.so'))).toBe(path.join(from, 'b/libcudnn.so.9'));
    // They are there, but are no libraries: only loading tells.
    for (const name of ['libcudart.so.13', 'libcudnn.so.9 or libcudnn.so']) {
      const problem = checks.find((check) => check.name === name)?.problem;
      expect([name, problem]).toEqual([name, expect.stringMatching(/too short|invalid ELF/)]);
    }
    await expect(
      setupCuda({ wheel: wheel(), libraries: folder(), folder: target }),
    ).rejects.toThrow(/expected CUDA libraries .*libcudnn\.so\.9.* found none/);
  });
});

test('a library that loads is told from one that does not, each with what to install', () => {
  for (const { problem, note, name } of libraryChecks(folder())) {
    if (problem !== null) expect(note).toMatch(name === 'libcuda.so.1' ? /driver/ : /pip: nvidia-/);
  }
  const names = libraryChecks(folder()).map(({ name }) => name);
  expect(names.join()).toContain('libcublasLt.so.13');
});
