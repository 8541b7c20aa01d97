/** Finds Chromium and its software Vulkan driver, and runs models in it. */

import { spawn } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import type { Tensor } from '../../src/common/tensor.js';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
const FOLDERS = ['/usr/lib/chromium', '/usr/lib64/chromium-browser', '/opt/google/chrome'];
const ICD = 'vk_swiftshader_icd.json';

/** Advice for a machine that lacks one of them. */
export const CHROMIUM_ADVICE =
  'expected Chromium (on Debian: apt-get install chromium libvulkan1), or its path in CHROME_PATH';

/** Returns the path of the browser: `CHROME_PATH`, else the first of the usual names on the PATH, else null. */
export function findChromium(): string | null {
  const folders = (process.env.PATH ?? '').split(path.delimiter);
  const candidates = NAMES.flatMap((name) => folders.map((folder) => path.join(folder, name)));
  const chosen = process.env.CHROME_PATH;
  return [...(chosen ? [chosen] : []), ...candidates].find((file) => existsSync(file)) ?? null;
}

/** Returns the description file of SwiftShader, the Vulkan driver that comes with Chromium and needs no GPU. */
export function findSwiftShader(): string | null {
  const chosen = process.env.VK_ICD_FILENAMES;
  if (chosen) return chosen;
  const chromium = findChromium();
  const folders = chromium === null ? [] : [path.dirname(realpathSync(chromium))];
  const files = [...folders, ...FOLDERS].map((folder) => path.join(folder, ICD));
  return files.find((file) => existsSync(file)) ?? null;
}

export interface BrowserResult {
  /** [N, C], row by row. */
  readonly logits: readonly number[];
  /** Version of onnxruntime-web. */
  readonly runtime: string;
  readonly userAgent: string;
}

/** Loads onnxruntime-web's WASM backend only: no WebGPU, no WebGL. */
const PAGE = `<!doctype html><meta charset="utf-8"><script type="module">
const send = (name, body) => fetch(name, { method: 'POST', body: JSON.stringify(body) });
try {
  const ort = await import('/ort.wasm.min.mjs');
  ort.env.wasm.wasmPaths = new URL('/', location.href).href;
  ort.env.wasm.numThreads = 1;
  const shape = await (await fetch('/shape')).json();
  const images = new Float32Array(await (await fetch('/images')).arrayBuffer());
  const session = await ort.InferenceSession.create('/model', { executionProviders: ['wasm'] });
  const { logits } = await session.run({ input: new ort.Tensor('float32', images, shape) });
  const runtime = ort.env.versions.web;
  await send('/result', { logits: [...logits.data], runtime, userAgent: navigator.userAgent });
} catch (error) {
  await send('/failure', String(error?.stack ?? error));
}
</script>`;

/**
 * Runs an exported model in a new browser with an empty profile. A server on loopback serves the page.
 *
 * @param images float32 [N, 3, S, S].
 * @throws Error if the page fails, the browser ends early or `timeout` milliseconds pass.
 */
export async function runInChromium(
  chromium: string,
  model: Uint8Array,
  { shape, data }: Tensor,
  timeout = 120_000,
): Promise<BrowserResult> {
  const runtime = path.dirname(
    createRequire(import.meta.url).resolve('onnxruntime-web/ort-wasm-simd-threaded.wasm'),
  );
  let resolve: (result: BrowserResult) => void = () => undefined;
  let reject: (error: Error) => void = () => undefined;
  const result = new Promise<BrowserResult>((...both) => {
    [resolve, reject] = both;
  });
  // The error is thrown where `result` is awaited, which may be later than it happens.
  result.catch(() => undefined);
  const content: Record<string, [string, string | Uint8Array]> = {
    '/': ['text/html', PAGE],
    '/shape': ['application/json', JSON.stringify(shape)],
    '/images': [
      'application/octet-stream',
      new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    ],
    '/model': ['application/octet-stream', model],
  };
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const name = request.url ?? '';
    if (request.method === 'POST') {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const body: unknown = JSON.parse(Buffer.concat(chunks).toString());
      if (name === '/result') resolve(body as BrowserResult);
      else reject(new Error(`the page failed: ${String(body)}`));
      response.end();
      return;
    }
    const known = content[name];
    const type = name.endsWith('.wasm') ? 'application/wasm' : 'text/javascript';
    if (known) response.writeHead(200, { 'content-type': known[0] }).end(known[1]);
    else if (/^\/ort[\w.-]+\.(mjs|wasm)$/.test(name)) {
      const file = await readFile(path.join(runtime, name));
      response.writeHead(200, { 'content-type': type }).end(file);
    } else response.writeHead(404).end();
  };
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      reject(error instanceof Error ? error : new Error(String(error)));
    });
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const { port } = server.address() as AddressInfo;
  const profile = await mkdtemp(path.join(os.tmpdir(), 'chromium-'));
  const flags = [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    `--user-data-dir=${profile}`,
    `http://127.0.0.1:${port}/`,
  ];
  // Start a process group, so that all of the browser's processes can be ended together.
  const browser = spawn(chromium, flags, { stdio: 'ignore', detached: true });
  const ended = new Promise<void>((exit) => {
    browser.once('exit', () => {
      exit();
    });
  });
  browser.once('error', reject);
  browser.once('exit', (code) => {
    reject(new Error(`the browser ended with code ${String(code)} before the page was done`));
  });
  const timer = setTimeout(() => {
    reject(new Error(`the page was not done after ${timeout} ms`));
  }, timeout);
  try {
    return await result;
  } finally {
    clearTimeout(timer);
    if (browser.pid !== undefined && browser.exitCode === null) {
      process.kill(-browser.pid, 'SIGKILL');
      await ended;
    }
    server.closeAllConnections();
    server.close();
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}
