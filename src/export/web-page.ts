/** `--web`: a page that classifies pictures in the browser, and the runtime that it needs. */

import { copyFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { ConfigError } from '../common/errors.js';
import { writeFileAtomic } from '../platform/node/files.js';
import { html, jsonScript, Html } from '../common/html.js';
import { WEB_PAGE_SCRIPT, WEB_PAGE_STYLE } from './web-page-parts.js';

/** onnxruntime-web without WebGPU and WebGL: what every browser runs. */
const RUNTIME_FILES = [
  'ort.wasm.min.mjs',
  'ort-wasm-simd-threaded.mjs',
  'ort-wasm-simd-threaded.wasm',
] as const;

export interface WebPage {
  readonly title: string;
  readonly classes: readonly string[];
}

/** What the page loads: input `image` uint8 [H, W, 3], output `probabilities` [1, C]. */
export const WEB_MODEL = 'model.onnx';

/** Scripts, the model and WebAssembly from where the page lies; nothing from anywhere else. */
const POLICY =
  "default-src 'none'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; " +
  "style-src 'unsafe-inline'; img-src blob: data:; connect-src 'self'; worker-src 'self' blob:";

/**
 * Writes the page and the runtime; files of an earlier page are replaced.
 *
 * @throws ConfigError where onnxruntime-web is not installed.
 */
export async function writeWebPage(dir: string, page: WebPage): Promise<void> {
  const runtime = runtimeFolder();
  for (const name of RUNTIME_FILES) await copyFile(path.join(runtime, name), path.join(dir, name));
  await writeFileAtomic(path.join(dir, 'index.html'), renderWebPage(page));
}

function runtimeFolder(): string {
  try {
    const { resolve } = createRequire(import.meta.url);
    return path.dirname(resolve('onnxruntime-web/ort-wasm-simd-threaded.wasm'));
  } catch (cause) {
    throw new ConfigError(
      'expected the package onnxruntime-web for --web, found none; npm install onnxruntime-web',
      { cause },
    );
  }
}

export function renderWebPage({ title, classes }: WebPage): string {
  const names = classes.slice(0, 12).join(', ') + (classes.length > 12 ? ', …' : '');
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<link rel="icon" href="data:,">
<title>${title}</title>
<style>${new Html(WEB_PAGE_STYLE)}</style>
</head>
<body>
<main>
<h1>${title}</h1>
<p class="soft">Tells apart: ${names}. The picture stays on this machine.</p>
<label id="drop" tabindex="0">
<input id="file" type="file" accept="image/*">
<img id="picture" alt="" hidden>
<span id="hint">Drop a picture here, paste one, or click to choose</span>
</label>
<p id="state" class="soft" role="status">Loading the model …</p>
<ol id="classes"></ol>
</main>
${jsonScript('names', classes)}
<script type="module">${new Html(WEB_PAGE_SCRIPT)}</script>
</body>
</html>
`.markup;
}
