/** Uses the web page as a person would: in a real browser, from a server on loopback. */

import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { openArtifacts } from '../../src/platform/node/defaults.js';
import { Classifier } from '../../src/platform/node/library.js';
import { nodePlatform } from '../../src/platform/node/node-platform.js';
import { exportWebPage } from '../../src/export/export-web.js';
import { predict, train } from '../../src/index.js';
import { renderWebPage } from '../../src/export/web-page.js';
import { Page } from '../support/browser.js';
import { findChromium } from '../support/chromium.js';
import { makeData } from '../support/run-process.js';
import { TINY } from '../support/paths.js';

const chromium = findChromium();

test('class names are text, whatever is in them', () => {
  const classes = ['</script><script>alert(1)</script>'];
  const page = renderWebPage({ title: '<b>', classes, exif: 'ignore' });
  expect(page).toContain('<h1>&lt;b&gt;</h1>');
  expect(page).not.toContain('<script>alert');
  expect(page).not.toMatch(/(src|href)="(?!data:)/);
});

(chromium === null ? describe.skip : describe)('in Chromium', () => {
  let dir: string;
  let server: Server;
  let page: Page;
  let origin: string;
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
    const types: Record<string, string> = { html: 'text/html', mjs: 'text/javascript' };
    server = createServer(({ url }, response) => {
      const name = url === '/' ? 'index.html' : path.basename(url ?? '');
      const type = types[name.split('.').at(-1) ?? ''] ?? 'application/octet-stream';
      response.setHeader('content-type', type).end(readFileSync(path.join(web, name)));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    page = await Page.launch(chromium ?? '');
    await page.show(900, 900);
    await page.open(origin);
    await page.until(`document.querySelector('#state').textContent === 'Ready.'`);
  });
  afterAll(async () => {
    await page.close();
    server.close();
    await rm(dir, { recursive: true });
  });

  const rows = (): Promise<[string, number][]> =>
    page.evaluate(
      `[...document.querySelectorAll('#classes li')].map((li) =>
        [li.querySelector('b').textContent, parseFloat(li.querySelector('span').textContent) / 100])`,
    );
  const classified = `document.querySelector('#state').textContent.startsWith('Classified')`;

  test.each(['red/0.png', 'blue/2.png'])(
    'a chosen image (%s) gets the classes of predict',
    async (name) => {
      const image = path.join(dir, 'data', 'val', name);
      await page.choose('#file', [image]);
      await page.until(classified);
      const [shown, wanted] = [await rows(), await expected(image)];
      expect(shown.map(([label]) => label)).toEqual(wanted.map(([label]) => label));
      shown.forEach(([, share], i) => {
        expect(Math.abs(share - (wanted[i]?.[1] ?? NaN))).toBeLessThan(0.001);
      });
      if (process.env.SCREENSHOTS !== undefined) {
        await writeFile(path.join(process.env.SCREENSHOTS, 'web.png'), await page.screenshot());
      }
    },
  );

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
    await page.until(
      `document.querySelector('#state').textContent.startsWith('This cannot be read')`,
    );
    expect(await rows()).toEqual([]);
  });

  test('it requests files only from its own server', () => {
    const asked = page.requests.filter((url) => !/^(data|blob):/.test(url));
    expect(asked.length).toBeGreaterThanOrEqual(4);
    for (const url of asked) expect(url.startsWith(origin)).toBe(true);
  });
});
