import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { WeightsError } from '../../../src/common/errors.js';
import { fetchPretrained, type WeightsAtUrl } from '../../../src/weights/published/download.js';
import { cacheFolder } from '../../../src/common/node/cache-folder.js';

const CONTENT = Buffer.alloc(300_000, 'weights');
const SHA256 = createHash('sha256').update(CONTENT).digest('hex');

let cache = '';
let server: Server;
let requests = 0;
let answer: RequestListener;

beforeEach(async () => {
  cache = path.join(await mkdtemp(path.join(tmpdir(), 'pretrained-')), 'cache');
  requests = 0;
  answer = (_, response) => response.end(CONTENT);
  server = createServer((request, response) => {
    requests++;
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await rm(path.dirname(cache), { recursive: true });
});

function spec(changes: Partial<WeightsAtUrl> = {}): WeightsAtUrl {
  return {
    name: 'IMAGENET1K_V1',
    licence: 'BSD-3-Clause',
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/models/net-${SHA256.slice(0, 8)}.pth`,
    sha256: SHA256,
    sha256Prefix: SHA256.slice(0, 8),
    bytes: CONTENT.byteLength,
    package: null,
    names: null,
    ...changes,
  };
}

/** The fetch fails with this message, names the other choices and leaves nothing behind. */
async function expectFailure(wanted: WeightsAtUrl, message: RegExp, stall = 30): Promise<void> {
  const run = fetchPretrained(wanted, { cache, stallSeconds: stall });
  const error: unknown = await run.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(WeightsError);
  expect((error as WeightsError).message).toMatch(message);
  expect((error as WeightsError).message).toContain(wanted.url);
  expect((error as WeightsError).message).toMatch(/--weights FILE .* --weights random/);
  expect(await readdir(cache)).toEqual([]);
}

describe('fetchPretrained', () => {
  test('fetches once, reports progress, then uses the cache', async () => {
    const progress: [number, number | null][] = [];
    const file = await fetchPretrained(spec(), {
      cache,
      onProgress: (received, total) => progress.push([received, total]),
    });
    expect(file).toBe(path.join(cache, `net-${SHA256.slice(0, 8)}.pth`));
    expect(CONTENT.equals(await readFile(file))).toBe(true);
    expect(progress.at(-1)).toEqual([CONTENT.byteLength, CONTENT.byteLength]);
    expect(await fetchPretrained(spec(), { cache })).toBe(file);
    expect(requests).toBe(1);
    expect(await readdir(cache)).toEqual([path.basename(file)]);
  });

  test('a cached file that was changed is fetched again', async () => {
    const file = await fetchPretrained(spec(), { cache });
    await writeFile(file, 'something else');
    await fetchPretrained(spec(), { cache });
    expect(CONTENT.equals(await readFile(file))).toBe(true);
    expect(requests).toBe(2);
  });

  test('fetches at the same time do not disturb one another', async () => {
    const runs = Array.from({ length: 4 }, () => fetchPretrained(spec(), { cache }));
    const [file = ''] = await Promise.all(runs);
    expect(CONTENT.equals(await readFile(file))).toBe(true);
    expect(await readdir(cache)).toHaveLength(1);
  });

  test('what killed processes left is removed, what others are fetching is not', async () => {
    await mkdir(cache);
    const name = path.basename(spec().url);
    for (const part of ['1.0a.part', '2.0b.part']) {
      await writeFile(path.join(cache, `${name}.${part}`), 'half');
    }
    const hours = Date.now() / 1000 - 2 * 3600;
    await utimes(path.join(cache, `${name}.1.0a.part`), hours, hours);
    await fetchPretrained(spec(), { cache });
    expect((await readdir(cache)).sort()).toEqual([name, `${name}.2.0b.part`]);
  });

  test('follows a redirect; a length that is not told is no obstacle', async () => {
    answer = (request, response) => {
      if (request.url === '/moved') return void response.write(CONTENT, () => response.end());
      response.writeHead(302, { location: '/moved' }).end();
    };
    const totals = new Set<number | null>();
    await fetchPretrained(spec({ bytes: null }), {
      cache,
      onProgress: (_, total) => totals.add(total),
    });
    expect([...totals]).toEqual([null]);
  });

  test('without a published hash the eight digits of the name are checked', async () => {
    await fetchPretrained(spec({ sha256: null, bytes: null }), { cache });
    await rm(cache, { recursive: true });
    const wrong = spec({ sha256: null, sha256Prefix: '00000000', bytes: null });
    await expectFailure(wrong, /expected SHA-256 00000000\.\.\., found [0-9a-f]{64}/);
    await expectFailure(spec({ sha256: null, sha256Prefix: '' }), /SHA-256/);
  });

  test('a wrong hash', async () => {
    answer = (_, response) => response.end(Buffer.alloc(CONTENT.byteLength));
    await expectFailure(spec(), new RegExp(`expected SHA-256 ${SHA256}, found [0-9a-f]{64}`));
  });

  test('a download that is cut off', async () => {
    answer = (_, response) => {
      response.writeHead(200, { 'content-length': CONTENT.byteLength });
      response.write(CONTENT.subarray(0, 100_000), () => setTimeout(() => response.destroy(), 100));
    };
    await expectFailure(spec(), /cut off after \d+ of 300000 bytes: (?!terminated)/);
  });

  test('a download that ends early without a length', async () => {
    answer = (_, response) => {
      response.write(CONTENT.subarray(0, 1000));
      setTimeout(() => response.end(), 20);
    };
    await expectFailure(spec(), /cut off after 1000 of 300000 bytes/);
  });

  test('a file of another size is not downloaded', async () => {
    await expectFailure(spec({ bytes: 5 }), /expected 5 bytes, the server offers 300000/);
  });

  test('more bytes than promised', async () => {
    answer = (_, response) => {
      response.write(CONTENT);
      response.end(CONTENT);
    };
    await expectFailure(spec(), /expected 300000 bytes, the server sends more/);
  });

  test('HTTP 404', async () => {
    answer = (_, response) => response.writeHead(404).end('not here');
    await expectFailure(spec(), /HTTP 404 Not Found/);
  });

  test('a connection that stalls', async () => {
    answer = (_, response) => response.write(CONTENT.subarray(0, 1000));
    await expectFailure(
      spec(),
      /cut off after 1000 of 300000 bytes: nothing received for 0.3/,
      0.3,
    );
  });

  test('a server that never answers', async () => {
    answer = () => undefined;
    await expectFailure(spec(), /nothing received for 0.2 seconds/, 0.2);
  });

  test('no connection', async () => {
    const wanted = spec();
    await new Promise((resolve) => server.close(resolve));
    await expectFailure(wanted, /ECONNREFUSED/);
    server = createServer().listen(0);
  });

  test('a cache folder that cannot be made', async () => {
    await writeFile(cache, 'a file where the folder should be');
    await expect(fetchPretrained(spec(), { cache })).rejects.toThrow(WeightsError);
  });
});

test('the cache folder follows the platform, unless the environment names one', () => {
  const at = (environment: NodeJS.ProcessEnv, platform: NodeJS.Platform): string =>
    cacheFolder(environment, platform, '/home/u');
  expect(at({ ORT_FINETUNE_CACHE: '/data/c' }, 'linux')).toBe('/data/c');
  expect(at({}, 'linux')).toBe('/home/u/.cache/ort-finetune');
  expect(at({ XDG_CACHE_HOME: '/xdg' }, 'linux')).toBe('/xdg/ort-finetune');
  expect(at({ XDG_CACHE_HOME: 'relative' }, 'linux')).toBe('/home/u/.cache/ort-finetune');
  expect(at({}, 'darwin')).toBe('/home/u/Library/Caches/ort-finetune');
  expect(at({ LOCALAPPDATA: '/local' }, 'win32')).toBe('/local/ort-finetune/Cache');
});
