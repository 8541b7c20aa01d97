/** Uses the web page as a person would: in a real browser, from a server on loopback. */

import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { openArtifacts } from '../../src/platform/node/defaults.js';
import { Classifier } from '../../src/platform/node/library.js';
import { decodeImage } from '../../src/platform/node/sharp-decoder.js';
import { nodePlatform } from '../../src/platform/node/node-platform.js';
import { exportWebPage } from '../../src/export/export-web.js';
import { predict, train } from '../../src/index.js';
import { renderWebPage } from '../../src/export/web-page.js';
import { Page } from '../support/browser.js';
import { findChromium } from '../support/chromium.js';
import { makeData } from '../support/run-process.js';
import { alphaPng, phonePhoto, plainPpm } from '../support/image-files.js';
import { serveFolder, type FolderServer } from '../support/serve-folder.js';
import { TINY } from '../support/paths.js';

const chromium = findChromium();

test('class names are text, whatever is in them', () => {
  const classes = ['</script><script>alert(1)</script>'];
  const page = renderWebPage({ title: '<b>', classes, exif: 'ignore', transforms: null });
  expect(page).toContain('<h1>&lt;b&gt;</h1>');
  expect(page).not.toContain('<script>alert');
  expect(page).not.toMatch(/(src|href)="(?!data:)/);
});

(chromium === null ? describe.skip : describe)('in Chromium', () => {
  let dir: string;
  let server: FolderServer;
  let page: Page;
  /** Returns the answer of `predict` for an image, with the same model. */
  let expected: (image: string) => Promise<[string, number][]>;

  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'web-test-'));
    const web = path.join(dir, 'web');
    const { runDir } = await train({
      data: await makeData(path.join(dir, 'data'), 8, 3),
      ...({ artifacts: TINY, weights: 'random', device: 'cpu', workers: 1 } as const),
      ...{ out: path.join(dir, 'red or blue'), epochs: 3, lr: 0.01 },
    });
    const options = { run: runDir, checkpoint: 'best', out: path.join(dir, 'model.onnx') } as const;
    await exportWebPage(options, web, 'option', nodePlatform);
    const artifacts = await openArtifacts(TINY);
    expected = async (image) => {
      const model = readFileSync(path.join(web, 'model.onnx'));
      const classifier = await Classifier.open(model, artifacts);
      try {
        for await (const found of predict(classifier, [{ name: image, image }])) {
          if (found.error !== undefined) throw new Error(found.error);
          return found.classes.map(({ name, probability }) => [name, probability]);
        }
        return [];
      } finally {
        await classifier.close();
      }
    };
    server = await serveFolder(web);
    page = await Page.launch(chromium ?? '');
    await page.show(900, 900);
    await page.open(server.origin);
    await page.until(ready);
  });
  afterAll(async () => {
    await page.close();
    server.close();
    await rm(dir, { recursive: true });
  });

  const ready = `document.querySelector('#state').textContent === 'Ready.'`;
  const rows = (): Promise<[string, number][]> =>
    page.evaluate(
      `[...document.querySelectorAll('#classes li')].map((li) =>
        [li.querySelector('b').textContent, parseFloat(li.querySelector('span').textContent) / 100])`,
    );
  const classified = `document.querySelector('#state').textContent.startsWith('Classified')`;

  const choose = async (image: string): Promise<[string, number][]> => {
    await page.choose('#file', [image]);
    await page.until(classified);
    return rows();
  };
  const compare = (shown: [string, number][], wanted: [string, number][]): void => {
    expect(shown.map(([label]) => label)).toEqual(wanted.map(([label]) => label));
    shown.forEach(([, share], i) => {
      expect(Math.abs(share - (wanted[i]?.[1] ?? NaN))).toBeLessThan(0.001);
    });
  };

  test.each(['red/0.png', 'blue/2.png'])(
    'a chosen image (%s) gets the classes of predict',
    async (name) => {
      const image = path.join(dir, 'data', 'val', name);
      compare(await choose(image), await expected(image));
      if (process.env.SCREENSHOTS !== undefined) {
        await writeFile(path.join(process.env.SCREENSHOTS, 'web.png'), await page.screenshot());
      }
    },
  );

  test.each([
    ['phone.jpg', phonePhoto],
    ['alpha.png', alphaPng],
    ['plain.ppm', plainPpm],
  ])('%s gets the probabilities of predict', async (name, make) => {
    const image = path.join(dir, name);
    await writeFile(image, await make());
    compare(await choose(image), await expected(image));
  });

  test('a page of a run with --exif apply turns the phone’s photo upright', async () => {
    const upright = path.join(dir, 'upright.png');
    const photo = path.join(dir, 'phone-apply.jpg');
    await writeFile(photo, await phonePhoto());
    const { data, width, height } = await decodeImage(photo, photo, 'apply');
    await sharp(data, { raw: { width, height, channels: 3 } })
      .png()
      .toFile(upright);
    const options = {
      title: 'turned',
      classes: ['blue', 'red'],
      exif: 'apply',
      transforms: null,
    } as const;
    await writeFile(path.join(dir, 'web', 'apply.html'), renderWebPage(options));
    await page.open(`${server.origin}apply.html`);
    await page.until(ready);
    compare(await choose(photo), await expected(upright));
    await page.open(server.origin);
    await page.until(ready);
    compare(await choose(photo), await expected(photo));
  });

  test('a dropped image is classified; a file that is not an image is reported', async () => {
    const bytes = readFileSync(path.join(dir, 'data', 'val', 'red', '1.png')).toString('base64');
    const drop = (base64: string): Promise<unknown> =>
      page.evaluate(
        `(() => {
          const bytes = Uint8Array.from(atob('${base64}'), (c) => c.charCodeAt(0));
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([bytes], 'dropped.png', { type: 'image/png' }));
          document.querySelector('#drop').dispatchEvent(
            new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }));
        })()`,
      );
    await drop(bytes);
    await page.until(classified);
    expect(await rows()).toHaveLength(2);
    await drop('bm8gaW1hZ2U=');
    await page.until(`document.querySelector('#state').textContent.startsWith('Not classified')`);
    expect(await rows()).toEqual([]);
  });

  test.each([
    ['thin', 1, 2_000_000],
    ['flat', 300_000, 2],
    ['huge', 9000, 4000],
  ])('a %s image gets the probabilities of predict', async (name, width, height) => {
    const image = path.join(dir, `${name}.ppm`);
    // The crop lies in the middle: its colour is neither that of the ends nor their mean.
    const pixels = Buffer.alloc(width * height * 3);
    for (let i = 0; i < pixels.length; i += 3) {
      const isMiddle = Math.abs(i / pixels.length - 0.5) < 0.1;
      pixels.set(isMiddle ? [(i >> 4) & 255, 90, 20] : [10, 20, 250], i);
    }
    await writeFile(image, Buffer.concat([Buffer.from(`P6 ${width} ${height} 255\n`), pixels]));
    await page.choose('#file', [image]);
    await page.until(classified, 60);
    compare(await rows(), await expected(image));
  });

  test('of two images chosen one after the other, the later one is shown', async () => {
    const [first, second] = [1, 2].map((i) => path.join(dir, 'data', 'val', 'red', `${i}.png`));
    const paste = (file = '', wait = ''): Promise<unknown> =>
      page.evaluate(`(() => {
        const letters = atob('${readFileSync(file).toString('base64')}');
        const file = new File([Uint8Array.from(letters, (c) => c.charCodeAt(0))], 'pasted.png');
        const read = () => Blob.prototype.arrayBuffer.call(file);
        file.arrayBuffer = () => ${wait}.then(read);
        const clipboardData = { files: [file] };
        dispatchEvent(Object.assign(new Event('paste'), { clipboardData }));
      })()`);
    await paste(first, 'new Promise((resolve) => (globalThis.release = resolve))');
    await paste(second, 'Promise.resolve()');
    await page.until(classified);
    await page.evaluate('release()');
    await page.evaluate('new Promise((resolve) => setTimeout(resolve, 500))');
    compare(await rows(), await expected(second ?? ''));
  });

  test('it requests files only from its own server', () => {
    const asked = page.requests.filter((url) => !/^(data|blob):/.test(url));
    expect(asked.length).toBeGreaterThanOrEqual(4);
    for (const url of asked) expect(url.startsWith(server.origin)).toBe(true);
  });
});
