/** The plot of a learning-rate range test: a page of its own. */

import { html, jsonScript, jsonStart, type Html } from '../common/html.js';
import type { LrPoint, LrSuggestion } from '../metrics/lr-curve.js';
import { formatRate, formatRoughRate } from '../common/format.js';
import { selfContainedPage } from './page.js';
import type { Points } from './chart-data.js';
import { chart } from './chart.js';

const TITLE = 'Learning rate';

/** Returns whether the bytes of a file are a page of {@link findLrPage}, of this version or an earlier one. */
export function isFindLrPage(bytes: Uint8Array): boolean {
  const text = new TextDecoder().decode(bytes);
  const marks = [
    '<!doctype html>',
    `<title>${TITLE}</title>`,
    jsonStart('points'),
    jsonStart('suggestion'),
  ];
  return marks.every((mark) => text.includes(mark));
}

/** Result of a range test, as far as the page shows it. */
export interface RangeTest {
  readonly points: readonly LrPoint[];
  readonly suggestion: LrSuggestion | null;
  readonly arch: string;
  readonly device: string;
  readonly batchSize: number;
}

/** Returns a page that plots `result`. `points` and `suggestion` are in it as JSON, too. */
export function findLrPage(result: RangeTest, producer: string): string {
  const { points, suggestion, arch, device, batchSize } = result;
  // When training diverges, single losses are huge. Cut them off, so that the descent before them is visible.
  const top = 1.1 * points.reduce((most, { smoothed }) => Math.max(most, smoothed), 0);
  const mark = points.findIndex(({ lr }) => lr === suggestion?.lr) + 1;
  const losses = chart({
    title: 'Loss against learning rate',
    series: [
      {
        name: 'loss of a batch',
        colour: 2,
        values: points.map(({ loss }) => (loss > top ? null : loss)),
      },
      { name: 'smoothed', colour: 1, values: points.map(({ smoothed }) => smoothed) },
    ],
    mark: suggestion === null ? null : mark,
    format: (value) => String(value),
    formatExact: (value) => value.toFixed(4),
    points: ratePoints(points),
  });
  return selfContainedPage(
    TITLE,
    html`<header><h1>${TITLE}</h1><p class="soft">${arch} on ${device} · ${points.length} steps of ${batchSize} images</p></header>
<main>
<div class="tiles">${tiles(result)}</div>
<div class="single">${losses}</div>
<p class="note">Each step had a higher rate than the one before. The circle marks the middle of the longest descent of the smoothed loss. Losses above ${top.toPrecision(2)} are outside the plot.</p>
</main>
<footer>Written by ${producer}. Nothing in this page is loaded from elsewhere.</footer>
${jsonScript('points', points)}
${jsonScript('suggestion', suggestion)}`,
  );
}

function tiles({ suggestion }: RangeTest): Html {
  const [lr, lowest] =
    suggestion === null
      ? ['none', '–']
      : [formatRoughRate(suggestion.lr), formatRoughRate(suggestion.lowest)];
  return html`<div class="card tile main"><b>${lr}</b><span>suggested learning rate</span></div><div class="card tile"><b>${lowest}</b><span>rate of the least loss</span></div>`;
}

/** Powers of ten below the chart. */
function ratePoints(points: readonly LrPoint[]): Points {
  const logs = points.map(({ lr }) => Math.log10(lr));
  const [low, high] = [logs[0] ?? 0, logs.at(-1) ?? 1];
  const at = (log: number): number => 1 + ((points.length - 1) * (log - low)) / (high - low || 1);
  const first = Math.ceil(low - 1e-9);
  const count = Math.max(0, Math.floor(high + 1e-9) - first + 1);
  const ticks = Array.from({ length: count }, (_, i) => ({
    at: at(first + i),
    text: `1e${first + i}`,
  }));
  return { name: (point) => `Rate ${formatRate(points[point - 1]?.lr ?? 0)}`, ticks };
}
