/** `--web`: a page that classifies images in the browser, and the runtime that it needs. */

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { ConfigError } from '../common/errors.js';
import type { ExifUse, Files } from '../platform/platform.js';
import { html, jsonScript, jsonStart, Html } from '../common/html.js';
import type { EvaluationTransforms } from '../images/workers/graph-input.js';
import { makeFolder } from '../common/node/make-folder.js';
import { packageText } from '../common/node/package-info.js';

/** Files of onnxruntime-web for WebAssembly, which every browser runs; WebGPU and WebGL are left out. */
const RUNTIME_FILES = [
  'ort.wasm.min.mjs',
  'ort-wasm-simd-threaded.mjs',
  'ort-wasm-simd-threaded.wasm',
] as const;

/** Files of the decoders, with their licences, by package. */
const DECODER_FILES = {
  '@jsquash/png': [
    'decode.js',
    'codec/pkg/squoosh_png.js',
    'codec/pkg/squoosh_png_bg.wasm',
    'LICENSE',
    'codec/LICENSE.codec.md',
  ],
  '@jsquash/webp': [
    'decode.js',
    'utils.js',
    'codec/dec/webp_dec.js',
    'codec/dec/webp_dec.wasm',
    'LICENSE',
    'codec/LICENSE.codec.md',
  ],
} as const;

/** Packages that the page is made of. */
const PACKAGES = ['onnxruntime-web', '@jsquash/png', '@jsquash/webp'] as const;

/** Folder of the page's own modules, which has the layout of src/. */
const CODE = 'code';
/** Folder of the decoders, by the name of their package. */
const DECODERS = 'decoders';

/** Texts and settings of the page. */
export interface WebPage {
  readonly title: string;
  /** Names of the classes, in the order of the model's output. */
  readonly classes: readonly string[];
  /** Whether the page turns an image by its EXIF orientation, as the network was trained. */
  readonly exif: ExifUse;
  /** Transforms of the model, by which the page resizes a thin or huge image; null if they are not known. */
  readonly transforms: EvaluationTransforms | null;
}

/** Name of the model that the page loads: input `image` uint8 [H, W, 3], output `probabilities` [1, C]. */
export const WEB_MODEL = 'model.onnx';

/** Allows scripts, the model and WebAssembly from the page's own server, and nothing from anywhere else. */
const POLICY =
  "default-src 'none'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; " +
  "style-src 'unsafe-inline'; img-src blob: data:; connect-src 'self'; worker-src 'self' blob:";

/** Folders of the packages in {@link PACKAGES}. */
export type WebPackages = Readonly<Record<(typeof PACKAGES)[number], string>>;

/**
 * Finds the packages that the page is made of.
 *
 * @throws ConfigError if one is not installed.
 */
export function findWebPackages(): WebPackages {
  const { resolve } = createRequire(import.meta.url);
  try {
    return {
      'onnxruntime-web': path.dirname(resolve('onnxruntime-web/ort-wasm-simd-threaded.wasm')),
      '@jsquash/png': path.dirname(resolve('@jsquash/png/decode.js')),
      '@jsquash/webp': path.dirname(resolve('@jsquash/webp/decode.js')),
    };
  } catch (cause) {
    throw new ConfigError(
      `expected the packages ${PACKAGES.join(', ')} for --web, found not all of them; ` +
        `npm install ${PACKAGES.join(' ')}`,
      { cause },
    );
  }
}

/** Contents of the files beside the page and its model, by their paths in the folder. */
export type WebFiles = ReadonlyMap<string, string | Uint8Array>;

/** Reads the runtime, the decoders and the modules that the page loads. */
export async function webFiles(packages: WebPackages): Promise<WebFiles> {
  const contents = new Map<string, string | Uint8Array>();
  for (const name of RUNTIME_FILES) {
    contents.set(name, await readFile(path.join(packages['onnxruntime-web'], name)));
  }
  for (const name of ['@jsquash/png', '@jsquash/webp'] as const) {
    for (const file of DECODER_FILES[name]) {
      const content = await readFile(path.join(packages[name], file));
      contents.set(path.join(DECODERS, name, file), content);
    }
  }
  for (const [name, text] of pageModules()) {
    // The source maps are not part of the page.
    contents.set(path.join(CODE, name), text.replace(/^\/\/# sourceMappingURL=.*$/m, ''));
  }
  return contents;
}

/** Writes the page, its modules, decoders and the runtime. Replaces the files of an earlier page. */
export async function writeWebPage(
  dir: string,
  page: WebPage,
  { files, contents }: { readonly files: Files; readonly contents: WebFiles },
): Promise<void> {
  for (const [name, content] of contents) {
    await makeFolder(path.dirname(path.join(dir, name)));
    await files.write(path.join(dir, name), content);
  }
  await files.write(path.join(dir, 'index.html'), renderWebPage(page));
}

/**
 * Collects decode.js and the modules of src/ that it imports, as they were compiled. All of them are portable, so a
 * browser runs them as they are.
 *
 * @returns the modules' texts by their path below src/.
 */
function pageModules(): Map<string, string> {
  const modules = new Map([['export/web/decode.js', packageText('src/export/web/decode.js')]]);
  for (const [importer, text] of modules) {
    for (const [, specifier = ''] of text.matchAll(
      /^(?:import|export) [^;]*?from '(\.[^']+)';/gm,
    )) {
      const name = path.posix.join(path.posix.dirname(importer), specifier);
      if (!modules.has(name)) modules.set(name, packageText(`dist/src/${name}`));
    }
  }
  return modules;
}

/** Returns a file of src/export/web/, which the package contains, as part of the page. */
function embedded(name: string): Html {
  return new Html(packageText(`src/export/web/${name}`));
}

/** Returns whether the bytes of a file are a page of {@link renderWebPage}, of this version or an earlier one. */
export function isWebPage(bytes: Uint8Array): boolean {
  const text = new TextDecoder().decode(bytes);
  const marks = ['<!doctype html>', jsonStart('names'), '<label id="drop"', '<ol id="classes">'];
  return marks.every((mark) => text.includes(mark));
}

/** Returns the page's HTML. */
export function renderWebPage({ title, classes, exif, transforms }: WebPage): string {
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
<input id="file" type="file" accept="image/*,.pbm,.pgm,.pnm,.ppm">
<img id="image" alt="" hidden>
<span id="hint">Drop an image here, paste one, or click to choose</span>
</label>
<p id="state" class="soft" role="status">Loading the model …</p>
<ol id="classes"></ol>
</main>
${jsonScript('names', classes)}
${jsonScript('settings', { exif, transforms })}
<script type="importmap">{"imports": {"@jsquash/": "./${DECODERS}/@jsquash/"}}</script>
<script type="module">
${embedded('page.js')}</script>
</body>
</html>
`.markup;
}
