import * as ort from './ort.wasm.min.mjs';

const $ = (id) => document.getElementById(id);
const names = JSON.parse($('names').textContent);
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

/** Returns the pixels as training sees them: without rotation by EXIF, without a colour profile. */
async function pixels(file) {
  const options = {
    imageOrientation: 'none',
    colorSpaceConversion: 'none',
    premultiplyAlpha: 'none',
  };
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
    $('image').src = shown;
    $('image').alt = file.name ?? '';
    $('image').hidden = false;
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
    $('image').hidden = true;
    say('This cannot be read as an image: ' + error.message);
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
