/**
 * Holds: weight files are read, with remarks on how, or refused before anything is written. Trains by the command line;
 * a local server stands in for the publisher of weights.
 */

import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { float32Tensor, type Tensor } from '../../src/common/tensor.js';
import { readPth } from '../../src/platform/node/defaults.js';
import { encodeSafetensors } from '../../src/weights/safetensors.js';
import { foreign, pthFile, stateValue } from '../support/pth.js';
import { type End, call } from '../support/run-process.js';
import { ROOT } from '../support/paths.js';
import { unpackTo } from '../support/stored-graph.js';

const tiny = path.join(ROOT, 'test', 'fixtures', 'tiny');
const data = path.join(ROOT, 'samples', 'textures');
const cwd = mkdtempSync(path.join(os.tmpdir(), 'cli-weights-test-'));
afterAll(() => {
  rmSync(cwd, { recursive: true });
});

function run(out: string): Promise<End> {
  const words = ['train', '--data', data, '--artifacts', 'published', '--device', 'cpu'];
  return call([...words, '--workers', '1', '--epochs', '1', '--out', out], { cwd });
}

describe('published weights', () => {
  const pth = path.join(ROOT, 'test', 'fixtures', 'weights', 'tiny.pth');
  const content = readFileSync(pth);
  let server: Server;
  let requests = 0;
  beforeAll(async () => {
    server = createServer((_, response) => {
      requests++;
      response.end(content);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    // The tiny network, as if its weights were published on that server.
    const { port } = server.address() as AddressInfo;
    const sha256 = createHash('sha256').update(content).digest('hex');
    const digits = sha256.slice(0, 8);
    const url = `http://127.0.0.1:${port}/tiny-${digits}.pth`;
    const hashes = { sha256, sha256Prefix: digits, bytes: content.byteLength };
    const spec = { name: 'TEST', licence: 'MIT', url, ...hashes, package: null, names: null };
    cpSync(tiny, path.join(cwd, 'published'), { recursive: true });
    const file = path.join(cwd, 'published', 'manifest.json');
    const manifest = JSON.parse(readFileSync(file, 'utf8')) as object;
    writeFileSync(file, JSON.stringify({ ...manifest, pretrained: spec }));
  });
  const cached = (): string[] =>
    existsSync(path.join(cwd, 'cache'))
      ? readdirSync(path.join(cwd, 'cache')).filter((name) => name !== 'images')
      : [];

  test('that cannot be downloaded: one line, exit code 1, nothing is left behind', async () => {
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    const { code, stderr } = await run('unreachable');
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^error: expected to fetch TEST weights from http:[^\n]+ECONNREFUSED[^\n]+--weights FILE [^\n]+ --weights random[^\n]+\n$/,
    );
    expect(cached()).toEqual([]);
    expect(existsSync(path.join(cwd, 'unreachable'))).toBe(false);
  });

  test('are the default, fetched once with progress, and cached', async () => {
    const first = await run('fetched');
    expect(first).toMatchObject({ code: 0, stderr: '' });
    expect(first.stdout).toMatch(/^Fetching weights {2}0\.\d of 0\.\d MB \(100%\)$/m);
    expect(first.stdout).toMatch(/^Weights {2}TEST \(.*tiny-[0-9a-f]{8}\.pth\)$/m);
    const second = await run('cached');
    expect(second).toMatchObject({ code: 0, stderr: '' });
    expect(second.stdout).not.toContain('Fetching');
    expect(requests).toBe(1);
    expect(cached()).toHaveLength(1);
    await new Promise((resolve) => server.close(resolve));
  });
});

describe('weights from a file', () => {
  const fixtures = path.join(ROOT, 'test', 'fixtures', 'weights');
  const own = (): Promise<Map<string, Tensor>> => readPth(path.join(fixtures, 'tiny.pth'));
  const ones = (...shape: number[]): Tensor =>
    float32Tensor(shape, new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(1));

  async function trainFrom(name: string, content: string | Uint8Array, ...more: string[]) {
    const file = typeof content === 'string' ? content : path.join(cwd, name);
    if (typeof content !== 'string') writeFileSync(file, content);
    const out = path.join(cwd, `run-${name}`);
    const words = ['train', '--data', data, '--artifacts', tiny, '--weights', file, '--out', out];
    const setting = ['--device', 'cpu', '--threads', '1', '--workers', '1', '--epochs', '1'];
    const end = await call([...words, ...setting, ...more], { cwd });
    return { ...end, out, shown: (text: string) => text.replaceAll(file, name) };
  }

  test.each<[string, () => Promise<string | Uint8Array>, RegExp]>([
    [
      'deeper.safetensors',
      async () => {
        const tensors = [...(await own()), ['layer1.1.conv1.weight', ones(8, 8, 3, 3)]] as const;
        return Buffer.concat(encodeSafetensors(new Map(tensors)));
      },
      /^error: expected only tensors of tiny in deeper\.safetensors, found 1 more \(layer1\.1\.conv1\.weight\); use weights of tiny with its publisher's names\n$/,
    ],
    [
      'other.pth',
      () => Promise.resolve(pthFile(stateValue(new Map([['features.0.weight', ones(4)]]), 'm.'))),
      /^error: expected tensor conv1\.weight .* in other\.pth, found none .* among 1: m\.features\.0\.weight; .*\n$/,
    ],
    [
      'nan.pth',
      async () => {
        const tensors = await own();
        tensors.get('conv1.weight')?.data.fill(NaN as never, 0, 3);
        return pthFile({ state_dict: stateValue(tensors, 'module.') });
      },
      /^error: expected finite values in nan\.pth, found NaN in module\.conv1\.weight \(3 of 1176 values\); use weights from before [^\n]*\n$/,
    ],
    [
      'attack.pth',
      async () => {
        const x = foreign('os.system', {}, `touch ${path.join(cwd, 'attacked')}`);
        return pthFile({ ...stateValue(await own()), x });
      },
      /^error: expected a state_dict .* in attack\.pth, found a call of "os\.system", which would run [^\n]*\n$/,
    ],
    [
      'whole.pth',
      () => Promise.resolve(path.join(fixtures, 'whole_model.pth')),
      /^error: .* in whole\.pth, found a whole object of torch\.nn\.modules\.linear\.Linear, .*torch\.save\(model\.state_dict\(\), FILE\)\n$/,
    ],
    [
      'evaluate.onnx',
      () => Promise.resolve(unpackTo(cwd, tiny, 'evaluate')),
      /^error: expected weights \(\.safetensors or \.pth\) in evaluate\.onnx, found an ONNX model [^\n]*\n$/,
    ],
  ])('%s: refused in one line, and no run folder is made', async (name, make, message) => {
    const { code, stderr, out, shown } = await trainFrom(name, await make());
    expect(shown(stderr)).toMatch(message);
    expect(code).toBe(1);
    expect(existsSync(out)).toBe(false);
    expect(existsSync(path.join(cwd, 'attacked'))).toBe(false);
  });

  test.each<[string, () => Promise<string | Uint8Array>, string[]]>([
    [
      'dataparallel.pth',
      async () => pthFile({ epoch: 3, state_dict: stateValue(await own(), 'module.') }),
      [
        'warning: dataparallel.pth: took the tensors under "state_dict", and left out epoch',
        'warning: dataparallel.pth: names begin with "module.", which is left out',
      ],
    ],
    [
      'reference.pth',
      () => Promise.resolve(path.join(fixtures, 'torchvision_script.pth')),
      [
        'warning: reference.pth: took the tensors under "model", and left out optimizer, lr_scheduler, epoch, args, model_ema; the network is also under "model_ema"',
      ],
    ],
    ['plain.pth', () => Promise.resolve(path.join(fixtures, 'tiny.pth')), []],
  ])('%s: read, and told how', async (name, make, warnings) => {
    const { code, stdout, stderr, shown } = await trainFrom(name, await make());
    expect(shown(stdout + stderr).match(/^warning: .*$/gm) ?? []).toEqual(warnings);
    expect(code).toBe(0);
  });

  test('--json has the remark as an event', async () => {
    const file = pthFile(stateValue(await own(), 'backbone.'));
    const { code, stdout, out, shown } = await trainFrom('json.pth', file, '--json');
    expect(code).toBe(0);
    // The checkpoint of the run is weights for another one; its momentum needs no remark.
    const again = await trainFrom('again', path.join(out, 'checkpoints', 'best.safetensors'));
    expect(again).toMatchObject({ code: 0, stderr: '' });
    expect(again.stdout).not.toContain('warning');
    const events = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string; message?: string });
    const warnings = events.filter(({ type }) => type === 'warning');
    expect(warnings.map(({ message }) => shown(message ?? ''))).toEqual([
      'json.pth: names begin with "backbone.", which is left out',
    ]);
  });
});
