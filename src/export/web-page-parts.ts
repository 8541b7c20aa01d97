/** Style and script of the web page. The script runs in a browser, not here. */

export const WEB_PAGE_STYLE = `
:root { color-scheme: light dark; --page: #f4f5f8; --card: #fff; --ink: #1b1f2a; --soft: #5d6678;
  --line: #d9dde8; --accent: #3867d6; --track: #e8ebf3; }
@media (prefers-color-scheme: dark) {
  :root { --page: #12141a; --card: #1b1e27; --ink: #e8eaf1; --soft: #98a1b5; --line: #3a4052;
    --accent: #7aa2ff; --track: #2a2f3d; }
}
* { box-sizing: border-box; }
body { margin: 0; padding: 40px 16px; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 520px; margin: 0 auto; }
h1 { margin: 0; font-size: 28px; letter-spacing: -0.02em; overflow-wrap: anywhere; }
p { margin: 6px 0 18px; }
.soft { color: var(--soft); font-size: 14px; }
#drop { position: relative; display: grid; place-items: center; min-height: 260px; overflow: hidden;
  background: var(--card); border: 2px dashed var(--line); border-radius: 18px; cursor: pointer;
  text-align: center; }
#drop:hover, #drop.over, #drop:focus-visible { border-color: var(--accent); outline: none; }
#drop input { position: absolute; inset: 0; opacity: 0; cursor: pointer; }
#drop img { display: block; width: 100%; max-height: 420px; min-height: 200px; object-fit: contain; }
#drop img[hidden] { display: none; }
#hint { padding: 24px; color: var(--soft); }
#picture:not([hidden]) + #hint { display: none; }
#state { margin: 12px 2px; min-height: 21px; }
#classes { list-style: none; margin: 0; padding: 0; }
#classes li { display: grid; grid-template-columns: 1fr auto; gap: 2px 12px; padding: 9px 0; }
#classes b { font-weight: 600; overflow-wrap: anywhere; }
#classes span { font-variant-numeric: tabular-nums; color: var(--soft); }
#classes i { grid-column: 1 / -1; height: 8px; border-radius: 4px; background: var(--track); overflow: hidden; }
#classes i::after { content: ""; display: block; height: 100%; width: var(--share); border-radius: 4px;
  background: var(--accent); opacity: 0.55; transition: width 0.3s; }
#classes li:first-child i::after { opacity: 1; }
#classes li:first-child span { color: var(--ink); font-weight: 600; }
`;

export const WEB_PAGE_SCRIPT = `
import * as ort from './ort.wasm.min.mjs';

const $ = (id) => document.getElementById(id);
const names = JSON.parse($('names').textContent);
const say = (text) => { $('state').textContent = text; };
ort.env.wasm.wasmPaths = new URL('.', location.href).href;
ort.env.wasm.numThreads = 1;
const session = ort.InferenceSession.create('./model.onnx', { executionProviders: ['wasm'] });
session.then(() => say('Ready.'), (error) => say('The model cannot be loaded: ' + error.message));

/** Pixels as in training: no rotation by EXIF, no colour profile. */
async function pixels(file) {
  const options = { imageOrientation: 'none', colorSpaceConversion: 'none', premultiplyAlpha: 'none' };
  // Chromium knows 'none', the standard calls it 'from-image' or nothing.
  const bitmap = await createImageBitmap(file, options).catch(() => createImageBitmap(file));
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const rgba = context.getImageData(0, 0, width, height).data;
  const rgb = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    rgb[to++] = rgba[from];
    rgb[to++] = rgba[from + 1];
    rgb[to++] = rgba[from + 2];
  }
  return new ort.Tensor('uint8', rgb, [height, width, 3]);
}

let shown = '';
async function classify(file) {
  try {
    if (shown !== '') URL.revokeObjectURL(shown);
    shown = URL.createObjectURL(file);
    $('picture').src = shown;
    $('picture').alt = file.name ?? '';
    $('picture').hidden = false;
    $('classes').replaceChildren();
    say('Looking …');
    const image = await pixels(file);
    const loaded = await session;
    const start = performance.now();
    const { probabilities } = await loaded.run({ image });
    const time = performance.now() - start;
    const found = [...probabilities.data]
      .map((share, label) => ({ share, name: names[label] }))
      .sort((a, b) => b.share - a.share)
      .slice(0, 5);
    $('classes').replaceChildren(...found.map(row));
    say('Classified in ' + Math.round(time) + ' ms.');
  } catch (error) {
    $('picture').hidden = true;
    say('This cannot be read as a picture: ' + error.message);
  }
}

function row({ name, share }) {
  const item = document.createElement('li');
  const percent = (share * 100).toFixed(1) + '%';
  const parts = ['b', 'span', 'i'].map((tag) => document.createElement(tag));
  parts[0].textContent = name;
  parts[1].textContent = percent;
  parts[2].style.setProperty('--share', percent);
  item.append(...parts);
  return item;
}

const take = (files) => { if (files?.[0]) classify(files[0]); };
$('file').addEventListener('change', ({ target }) => take(target.files));
addEventListener('paste', ({ clipboardData }) => take(clipboardData.files));
for (const type of ['dragover', 'dragleave', 'drop']) {
  addEventListener(type, (event) => {
    event.preventDefault();
    $('drop').classList.toggle('over', type === 'dragover');
    if (type === 'drop') take(event.dataTransfer.files);
  });
}
`;
