/** `--web`: a page that classifies images in the browser, and the runtime that it needs. */

import { copyFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { ConfigError } from '../common/errors.js';
import type { ExifUse, Files } from '../platform/platform.js';
import { html, jsonScript, Html } from '../common/html.js';
import { packageText } from '../common/package-info.js';

/** Files of onnxruntime-web for WebAssembly, which every browser runs; WebGPU and WebGL are left out. */
const RUNTIME_FILES = [
  'ort.wasm.min.mjs',
  'ort-wasm-simd-threaded.mjs',
  'ort-wasm-simd-threaded.wasm',
] as const;

/** Texts and settings of the page. */
export interface WebPage {
  readonly title: string;
  /** Names of the classes, in the order of the model's output. */
  readonly classes: readonly string[];
  /** Whether the page turns an image by its EXIF orientation, as the network was trained. */
  readonly exif: ExifUse;
}

/** Name of the model that the page loads: input `image` uint8 [H, W, 3], output `probabilities` [1, C]. */
export const WEB_MODEL = 'model.onnx';

/** Allows scripts, the model and WebAssembly from the page's own server, and nothing from anywhere else. */
const POLICY =
  "default-src 'none'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; " +
  "style-src 'unsafe-inline'; img-src blob: data:; connect-src 'self'; worker-src 'self' blob:";

/**
 * Writes the page and the runtime. Replaces the files of an earlier page.
 *
 * @throws ConfigError if onnxruntime-web is not installed.
 */
export async function writeWebPage(dir: string, page: WebPage, files: Files): Promise<void> {
  const runtime = runtimeFolder();
  for (const name of RUNTIME_FILES) await copyFile(path.join(runtime, name), path.join(dir, name));
  await files.write(path.join(dir, 'index.html'), renderWebPage(page));
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

/** Returns a file of src/export/web/, which the package contains, as part of the page. */
function embedded(name: string): Html {
  return new Html(packageText(`src/export/web/${name}`));
}

/** Returns the page's HTML. */
export function renderWebPage({ title, classes, exif }: WebPage): string {
  const names = classes.slice(0, 12).join(', ') + (classes.length > 12 ? ', …' : '');
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<link rel="icon" href="data:,">
<title>${title}</title>
<style>
${embedded('page.css')}</style>
</head>
<body>
<main>
<h1>${title}</h1>
<p class="soft">Tells apart: ${names}. The image stays on this machine.</p>
<label id="drop" tabindex="0">
<input id="file" type="file" accept="image/*">
<img id="image" alt="" hidden>
<span id="hint">Drop an image here, paste one, or click to choose</span>
</label>
<p id="state" class="soft" role="status">Loading the model …</p>
<ol id="classes"></ol>
</main>
${jsonScript('names', classes)}
${jsonScript('settings', { exif })}
<script type="module">
${embedded('page.js')}</script>
</body>
</html>
`.markup;
}
