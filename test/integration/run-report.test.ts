/** Tests the report of a real run, as a file and in a real browser. */

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { classScores, confusionMatrix } from '../../src/metrics/confusion-matrix.js';
import { DatasetError, InterruptedError } from '../../src/common/errors.js';
import type { PhaseRecord } from '../../src/common/events.js';
import { train, type TrainResult } from '../../src/index.js';
import { loadPredictions } from '../../src/platform/node/defaults.js';
import { predictionsFile } from '../../src/checkpoint/predictions-file.js';
import { formatRate, formatShare } from '../../src/common/format.js';
import { Page } from '../support/browser.js';
import { findChromium } from '../support/chromium.js';
import { Colours } from '../support/tiny-network.js';
import { TINY } from '../support/paths.js';

const CLASSES = ['red', 'blue <b>', 'green'];
const chromium = findChromium();
let dir: string;
let result: TrainResult;
/** Text of the page at each event. */
const seen: string[] = [];

async function records(): Promise<PhaseRecord[]> {
  const text = await readFile(path.join(result.runDir, 'metrics.jsonl'), 'utf8');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as PhaseRecord);
}

beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'report-test-'));
  const out = path.join(dir, 'run <1>');
  const options = {
    artifacts: TINY,
    trainDataset: new Colours(26, CLASSES, 1),
    valDataset: new Colours(9, CLASSES, 2),
    ...({ weights: 'random', device: 'cpu', threads: 1, workers: 2 } as const),
    ...{ out, epochs: 3, lr: 0.004, seed: 3, stepSize: 1 },
  };
  const { readFileSync } = await import('node:fs');
  result = await train({
    ...options,
    onEvent: ({ type }) => {
      const file = path.join(out, 'report.html');
      if (type === 'step' && existsSync(file)) seen.push(readFileSync(file, 'utf8'));
    },
  });
});
afterAll(async () => {
  await rm(dir, { recursive: true });
});

describe('the report of a run', () => {
  test('is a whole page at every event, and says finished at the end', async () => {
    expect(seen.length).toBeGreaterThan(0);
    for (const page of seen) expect(/^<!doctype html>[^]*<\/html>\n$/.test(page)).toBe(true);
    const page = await readFile(path.join(result.runDir, 'report.html'), 'utf8');
    expect(page.includes('>finished</span>')).toBe(true);
    expect(page.match(/<img /g)?.length).toBeGreaterThanOrEqual(12);
  });

  test('predictions are saved with their epoch, and agree with the metrics', async () => {
    for (const name of ['best', 'last'] as const) {
      const saved = await loadPredictions(predictionsFile(result.runDir, name));
      const epoch = name === 'best' ? result.bestEpoch : 3;
      expect(saved.epoch).toBe(epoch);
      expect(saved.classNames).toEqual(CLASSES);
      expect([...saved.indices]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
      const record = (await records()).find((r) => r.epoch === epoch && r.phase === 'val');
      const hits = confusionMatrix(saved).reduce((sum, row, i) => sum + (row[i] ?? 0), 0);
      expect(hits / 9).toBe(record?.accuracy);
    }
  });

  test('stopped in a validation, its last page has the training before it', async () => {
    const out = path.join(dir, 'stopped');
    const stop = new AbortController();
    const stopped = train({
      ...{ artifacts: TINY, trainDataset: new Colours(8, CLASSES, 1), out, epochs: 2 },
      ...{ valDataset: new Colours(9, CLASSES, 2), signal: stop.signal },
      ...({ weights: 'random', device: 'cpu', threads: 1, workers: 1 } as const),
      onEvent: (event) => {
        if (event.type === 'step' && event.phase === 'val' && event.epoch === 2) stop.abort();
      },
    });
    await expect(stopped).rejects.toBeInstanceOf(InterruptedError);
    const page = await readFile(path.join(out, 'report.html'), 'utf8');
    const [, embedded = ''] = /<script[^>]* id="metrics"[^>]*>([^<]*)</.exec(page) ?? [];
    const kept = JSON.parse(embedded) as PhaseRecord[];
    expect(kept.map(({ epoch, phase }) => [epoch, phase])).toEqual([
      [1, 'train'],
      [1, 'val'],
      [2, 'train'],
    ]);
    expect(page.includes('>stopped</span>')).toBe(true);
  });

  test('a page that cannot be written, or a sample that cannot be read, does not end a run', async () => {
    const warnings: string[] = [];
    const valDataset = new Colours(9, CLASSES, 2);
    let trained = 0;
    const get = valDataset.get.bind(valDataset);
    // Validation loads each image once; later loads are for the report's thumbnails.
    valDataset.get = (index) => {
      if (++trained > 9) throw new DatasetError('expected to be asked once');
      return get(index);
    };
    const out = path.join(dir, 'warned');
    await train({
      ...{ artifacts: TINY, trainDataset: new Colours(8, CLASSES, 1), valDataset, out },
      ...({ weights: 'random', device: 'cpu', threads: 1, workers: 1, epochs: 1 } as const),
      onEvent: (event) => {
        if (event.type === 'warning') warnings.push(event.message);
      },
    });
    expect(warnings.join()).toContain('expected to be asked once');
    expect(existsSync(path.join(out, 'checkpoints', 'best.safetensors'))).toBe(true);
  });
});

(chromium === null ? describe.skip : describe)('in Chromium', () => {
  let page: Page;
  beforeAll(async () => {
    page = await Page.launch(chromium ?? '');
    await page.open(pathToFileURL(path.join(result.runDir, 'report.html')).href);
  });
  afterAll(async () => {
    await page.close();
  });

  const cells = (selector: string): Promise<string[][]> =>
    page.evaluate(
      `[...document.querySelectorAll('${selector} tbody tr')].map((row) =>
        [...row.querySelectorAll('td')].map((cell) => cell.textContent))`,
    );

  test('requests no other file', () => {
    const [first, ...others] = page.requests.filter((url) => !url.startsWith('data:'));
    expect(first).toMatch(/^file:.*report\.html$/);
    expect(others).toEqual([]);
  });

  test('has the numbers of metrics.jsonl', async () => {
    const expected = await records();
    const embedded = await page.evaluate<string>(`document.querySelector('#metrics').textContent`);
    expect(JSON.parse(embedded)).toEqual(expected);
    const rows = (await cells('#epochs')).reverse();
    expect(rows).toHaveLength(3);
    rows.forEach((row, i) => {
      const [train, val] = [expected[2 * i], expected[2 * i + 1]];
      expect(row.slice(0, 6)).toEqual([
        String(i + 1),
        train?.loss.toFixed(4),
        formatShare(train?.accuracy ?? NaN),
        val?.loss.toFixed(4),
        formatShare(val?.accuracy ?? NaN),
        formatRate(train?.lr ?? NaN),
      ]);
    });
    const tile = await page.evaluate(`document.querySelector('.tile.main b').textContent`);
    expect(tile).toBe(formatShare(result.bestAccuracy));
  });

  test('has the matrix and scores of the saved predictions', async () => {
    const matrix = confusionMatrix(await loadPredictions(predictionsFile(result.runDir, 'best')));
    const shown = (await cells('#confusion')).map((row) =>
      row.map((count) => Number(count.replace('·', '0'))),
    );
    expect(shown).toEqual(matrix);
    const scores = await cells('#scores');
    classScores(matrix).forEach(({ precision, support }, label) => {
      expect(scores[label]?.[0]).toBe(CLASSES[label]);
      expect(scores[label]?.[1]).toBe(precision === null ? '–' : formatShare(precision));
      expect(scores[label]?.[4]).toBe(String(support));
    });
  });

  test('draws the curves at the heights of the numbers', async () => {
    const expected = (await records()).filter(({ phase }) => phase === 'val');
    // Pointing at an epoch shows its values.
    const tips = await page.evaluate<string[]>(
      `[...document.querySelectorAll('.chart:first-child .slot text')].map((t) => t.textContent)`,
    );
    expect(tips).toHaveLength(3);
    const heights = await page.evaluate<number[]>(
      `[...document.querySelectorAll('.chart:first-child circle.dot.s1[r="2.6"]')].map((c) => c.cy.baseVal.value)`,
    );
    expected.forEach(({ loss }, i) => {
      expect(tips[i]).toContain(`validation ${loss.toFixed(4)}`);
    });
    // A lower loss lies lower on the screen, so heights and losses have the same order.
    const order = (values: number[]): number[] =>
      values.map((_, i) => i).sort((a, b) => (values[a] ?? 0) - (values[b] ?? 0));
    expect(order(heights.map((y) => -y))).toEqual(order(expected.map(({ loss }) => loss)));
  });

  test.each([
    [1280, 'light', 'rgb(244, 245, 248)'],
    [390, 'light', 'rgb(244, 245, 248)'],
    [390, 'dark', 'rgb(18, 20, 26)'],
  ] as const)('fits a window %d pixels wide, %s', async (width, scheme, background) => {
    await page.show(width, 844, scheme);
    const [wide, colour, images] = await page.evaluate<[number, string, boolean]>(
      `[document.documentElement.scrollWidth, getComputedStyle(document.body).backgroundColor,
        [...document.images].every((i) => i.src.startsWith('data:image/jpeg'))]`,
    );
    expect(wide).toBe(width);
    expect(colour).toBe(background);
    expect(images).toBe(true);
    const png = await page.screenshot();
    if (process.env.SCREENSHOTS !== undefined) {
      await writeFile(path.join(process.env.SCREENSHOTS, `report-${width}-${scheme}.png`), png);
    }
    expect(png.length).toBeGreaterThan(10_000);
  });
});
