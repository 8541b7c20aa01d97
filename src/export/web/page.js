import * as ort from './ort.wasm.min.mjs';
import { decode, fitEvaluation } from './code/export/web/decode.js';

const $ = (id) => document.getElementById(id);
const names = JSON.parse($('names').textContent);
const { exif, transforms } = JSON.parse($('settings').textContent);
const say = (text) => {
  $('state').textContent = text;
};
ort.env.wasm.wasmPaths = new URL('.', location.href).href;
ort.env.wasm.numThreads = 1;
const session = ort.InferenceSession.create('./model.onnx', { executionProviders: ['wasm'] });
session.then(
  () => say('Ready.'),
  (error) => say('The model cannot be loaded: ' + error.message),
);

/** Returns the classes of an image, the most probable first. */
async function run(loaded, { data, width, height }) {
  try {
    const image = new ort.Tensor('uint8', data, [height, width, 3]);
    const { probabilities } = await loaded.run({ image });
    return [...probabilities.data]
      .map((share, label) => ({ share, name: names[label] }))
      .sort((a, b) => b.share - a.share);
  } catch (cause) {
    const problem = `found ${width} x ${height} pixels, for which there is not enough memory`;
    throw new Error('expected an image that fits into this browser, ' + problem, { cause });
  }
}

let shown = '';
let started = 0;
async function classify(file) {
  const turn = ++started;
  if (shown !== '') URL.revokeObjectURL(shown);
  shown = URL.createObjectURL(file);
  $('image').src = shown;
  $('image').alt = file.name ?? '';
  $('image').hidden = false;
  $('classes').replaceChildren();
  say('Looking …');
  const answer = await look(file).catch((error) => error);
  // Another image may have been chosen meanwhile.
  if (turn !== started) return;
  if (answer instanceof Error) {
    $('image').hidden = true;
    say('Not classified: ' + answer.message + '.');
    return;
  }
  $('classes').replaceChildren(...answer.found.slice(0, 5).map(row));
  say('Classified in ' + Math.round(answer.time) + ' ms.');
}

async function look(file) {
  const decoded = await decode(file, exif);
  const loaded = await session;
  const start = performance.now();
  const image = transforms ? fitEvaluation(decoded, transforms) : decoded;
  const found = await run(loaded, image);
  return { found, time: performance.now() - start };
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

// Browsers do not show every image that the page can read.
$('image').addEventListener('error', ({ target }) => (target.hidden = true));
const take = (files) => {
  if (files?.[0]) classify(files[0]);
};
$('file').addEventListener('change', ({ target }) => take(target.files));
addEventListener('paste', ({ clipboardData }) => take(clipboardData.files));
for (const type of ['dragover', 'dragleave', 'drop']) {
  addEventListener(type, (event) => {
    event.preventDefault();
    $('drop').classList.toggle('over', type === 'dragover');
    if (type === 'drop') take(event.dataTransfer.files);
  });
}
