/** Trains from published weights by the command line. A local server stands in for the publisher. */

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
import { type End, call } from '../support/run-process.js';
import { ROOT } from '../support/paths.js';

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
    const spec = { name: 'TEST', url, sha256, sha256Prefix: digits, bytes: content.byteLength };
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
