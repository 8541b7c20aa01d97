/**
 * Line and stacked-bar charts over epochs, or other points of equal distance, as inline SVG. Colours come from the
 * page's style sheet (classes `s1`, `s2`, `s3`).
 */

import { type Html, html } from '../common/html.js';
import {
  FRAME,
  HEIGHT,
  WIDTH,
  epochPoints,
  linearAxis,
  logAxis,
  px,
  xScale,
} from './chart-axis.js';
import type { ChartOptions, Series } from './chart-data.js';
import { hovers } from './chart-hover.js';

/** Above this many points, a line has no dots. */
const MAX_DOTS = 60;

/** Returns a chart as a `<figure>`. */
export function chart(options: ChartOptions): Html {
  const { series, title, bars = false, format } = options;
  const epochs = Math.max(1, ...series.map(({ values }) => values.length));
  const axis = options.logarithmic
    ? logAxis(series.flatMap(numbers))
    : linearAxis(bars ? [0, ...totals(series, epochs)] : series.flatMap(numbers), options.limits);
  const y = (value: number): number => FRAME.bottom - axis.at(value) * (FRAME.bottom - FRAME.top);
  const x = xScale(epochs, bars);
  const gridLines = axis.ticks.map(
    (tick) =>
      html`<line class="grid" x1="${FRAME.left}" x2="${FRAME.right}" y1="${px(y(tick))}" y2="${px(y(tick))}" /><text class="tick" text-anchor="end" x="${FRAME.left - 7}" y="${px(y(tick) + 4)}">${format(tick)}</text>`,
  );
  const { ticks } = options.points ?? epochPoints(epochs);
  const xTicks = ticks.map(
    ({ at, text }) =>
      html`<text class="tick" text-anchor="middle" x="${px(x(at))}" y="${HEIGHT - 12}">${text}</text>`,
  );
  const marks = bars ? stack(series, epochs, x, y) : lines(options, x, y);
  return html`<figure class="card chart"><figcaption>${title}</figcaption><svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${summary(options)}">${legend(series)}${gridLines}${xTicks}${marks}${hovers(options, epochs, x, y)}</svg></figure>`;
}

function numbers({ values }: Series): number[] {
  return values.filter((value) => value !== null);
}

function totals(series: readonly Series[], epochs: number): number[] {
  return Array.from({ length: epochs }, (_, i) =>
    series.reduce((sum, { values }) => sum + (values[i] ?? 0), 0),
  );
}

function legend(series: readonly Series[]): Html {
  if (series.length < 2) return html``;
  let at = FRAME.left;
  const entries = series.map(({ name, colour }) => {
    const entry = html`<rect class="key s${colour}" x="${at}" y="8" width="11" height="11" rx="3" /><text class="name" x="${at + 16}" y="18">${name}</text>`;
    at += 34 + name.length * 7;
    return entry;
  });
  return html`<g class="legend">${entries}</g>`;
}

function lines(
  { series, mark }: ChartOptions,
  x: (epoch: number) => number,
  y: (value: number) => number,
): Html[] {
  return series.map(({ values, colour }, position) => {
    const points = values.flatMap((value, i) =>
      value === null ? [] : [{ epoch: i + 1, x: px(x(i + 1)), y: px(y(value)) }],
    );
    const path = points.map((p, i) => `${i === 0 ? 'M' : 'L'}${p.x} ${p.y}`).join('');
    const dots =
      points.length > MAX_DOTS
        ? []
        : points.map(
            (p) => html`<circle class="dot s${colour}" cx="${p.x}" cy="${p.y}" r="2.6" />`,
          );
    const best = position === series.length - 1 ? points.find((p) => p.epoch === mark) : undefined;
    const ring =
      best === undefined
        ? html``
        : html`<circle class="mark s${colour}" cx="${best.x}" cy="${best.y}" r="6.5" />`;
    return html`<path class="line s${colour}" d="${path}" />${dots}${ring}`;
  });
}

function stack(
  series: readonly Series[],
  epochs: number,
  x: (epoch: number) => number,
  y: (value: number) => number,
): Html[] {
  const width = px(Math.min(36, ((FRAME.right - FRAME.left) / epochs) * 0.7));
  return Array.from({ length: epochs }, (_, i) => {
    let below = 0;
    const pieces = series.map(({ values, colour }) => {
      const value = values[i] ?? 0;
      const top = px(y(below + value));
      const height = px(y(below) - y(below + value));
      below += value;
      return html`<rect class="bar s${colour}" x="${px(x(i + 1) - width / 2)}" y="${top}" width="${width}" height="${height}" />`;
    });
    return html`<g>${pieces}</g>`;
  });
}

/** Returns the text that a screen reader reads. */
function summary({ title, series, format, points }: ChartOptions): string {
  const parts = series.map(({ name, values }) => {
    const last = values.findLast((value) => value !== null);
    return `${name} ${last === undefined ? 'none' : format(last)}`;
  });
  return `${title}, last ${points === undefined ? 'epoch' : 'point'}: ${parts.join(', ')}`;
}
