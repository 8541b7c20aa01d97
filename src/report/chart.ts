/**
 * Line and stacked-bar charts over epochs (or other points of equal distance) as inline SVG: no script, no
 * library, colours from the page's style sheet (classes `s1`, `s2`, `s3`). Pointing at an epoch shows its values.
 */

import { Html, html } from '../common/html.js';

export interface Series {
  readonly name: string;
  /** Position in the palette. */
  readonly colour: 1 | 2 | 3;
  /** One value an epoch, from epoch 1 on; null where there is none. */
  readonly values: readonly (number | null)[];
}

export interface ChartOptions {
  readonly title: string;
  readonly series: readonly Series[];
  /** A value as text, on the axis and when pointed at. */
  readonly format: (value: number) => string;
  /** More digits, for the value pointed at; default `format`. */
  readonly formatExact?: (value: number) => string;
  /** Epoch to mark on the last series. */
  readonly mark?: number | null;
  /** Values the axis does not go below or above. */
  readonly limits?: readonly [number, number];
  /** Positive values on a logarithmic axis. */
  readonly logarithmic?: boolean;
  /** Stacked bars from 0 instead of lines. */
  readonly bars?: boolean;
  /** What the points are, if not epochs. */
  readonly points?: Points;
}

export interface Points {
  /** For one of them, from 1 on: what it is called when pointed at. */
  readonly name: (point: number) => string;
  /** Marks below the chart; `at` may be between two points. */
  readonly ticks: readonly { readonly at: number; readonly text: string }[];
}

const WIDTH = 400;
const HEIGHT = 236;
const FRAME = { left: 50, right: 388, top: 34, bottom: 206 } as const;
/** Above this many epochs, no dots. */
const MAX_DOTS = 60;

/** Two to about six round numbers that span `low` to `high`. */
export function niceTicks(low: number, high: number): number[] {
  const span = high > low ? high - low : Math.abs(high) || 1;
  const rough = span / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power;
  const first = Math.floor(low / step + 1e-9);
  const last = Math.max(first + 1, Math.ceil(high / step - 1e-9));
  return Array.from({ length: last - first + 1 }, (_, i) =>
    Number(((first + i) * step).toPrecision(12)),
  );
}

interface Axis {
  readonly ticks: readonly number[];
  /** Share of the axis, 0 at the bottom. */
  at(value: number): number;
}

function linearAxis(values: readonly number[], limits?: readonly [number, number]): Axis {
  const low = values.reduce((a, b) => Math.min(a, b), Infinity);
  const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  const all = niceTicks(Number.isFinite(low) ? low : 0, Number.isFinite(high) ? high : 1);
  const within = all.filter((t) => limits === undefined || (t >= limits[0] && t <= limits[1]));
  const ticks = within.length >= 2 ? within : all;
  const [bottom, top] = [ticks[0] ?? 0, ticks.at(-1) ?? 1];
  return { ticks, at: (value) => (value - bottom) / (top - bottom) };
}

function logAxis(values: readonly number[]): Axis {
  const logs = values.filter((value) => value > 0).map(Math.log10);
  const low = Math.floor(Math.min(...logs) + 1e-9);
  const high = Math.max(low + 1, Math.ceil(Math.max(...logs) - 1e-9));
  const stride = Math.ceil((high - low) / 5);
  const count = Math.floor((high - low) / stride) + 1;
  const ticks = Array.from({ length: count }, (_, i) => Number(`1e${low + i * stride}`));
  return { ticks, at: (value) => (Math.log10(value) - low) / (high - low) };
}

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

function px(value: number): number {
  return Math.round(value * 10) / 10;
}

/** Epoch (from 1) to x; bars stand between the frame's sides, lines reach them. */
function xScale(epochs: number, bars: boolean): (epoch: number) => number {
  const width = FRAME.right - FRAME.left;
  if (bars) return (epoch) => FRAME.left + ((epoch - 0.5) * width) / epochs;
  if (epochs === 1) return () => FRAME.left + width / 2;
  return (epoch) => FRAME.left + 8 + ((epoch - 1) * (width - 16)) / (epochs - 1);
}

function epochTicks(epochs: number): number[] {
  if (epochs <= 8) return Array.from({ length: epochs }, (_, i) => i + 1);
  const step = Math.max(1, niceTicks(0, epochs)[1] ?? 1);
  const multiples = Array.from({ length: Math.floor(epochs / step) }, (_, i) => (i + 1) * step);
  return [1, ...multiples.filter((epoch) => Number.isInteger(epoch) && epoch > 1)];
}

function epochPoints(epochs: number): Points {
  const ticks = epochTicks(epochs).map((epoch) => ({ at: epoch, text: String(epoch) }));
  return { name: (epoch) => `Epoch ${epoch}`, ticks };
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

/** For each epoch an area to point at (or tap), which shows its values in the place of the legend. */
function hovers(
  { series, format, formatExact = format, bars = false, points }: ChartOptions,
  epochs: number,
  x: (epoch: number) => number,
  y: (value: number) => number,
): Html[] {
  const { name: nameOf } = points ?? epochPoints(epochs);
  const edges = Array.from({ length: epochs + 1 }, (_, i) => {
    if (i === 0) return FRAME.left;
    return i === epochs ? FRAME.right : (x(i) + x(i + 1)) / 2;
  });
  return Array.from({ length: epochs }, (_, i) => {
    const [left, right] = [edges[i] ?? 0, edges[i + 1] ?? 0];
    const values = series.flatMap(({ name, colour, values }) => {
      const value = values[i];
      return value === null || value === undefined ? [] : [{ name, colour, value }];
    });
    if (values.length === 0) return html``;
    const text = values.map(
      ({ name, colour, value }) =>
        html` <tspan class="value s${colour}">${series.length > 1 ? `${name} ` : ''}${formatExact(value)}</tspan>`,
    );
    const dots = bars
      ? []
      : values.map(
          ({ colour, value }) =>
            html`<circle class="dot s${colour}" cx="${px(x(i + 1))}" cy="${px(y(value))}" r="4.5" />`,
        );
    const guide = bars
      ? html``
      : html`<line class="guide" x1="${px(x(i + 1))}" x2="${px(x(i + 1))}" y1="${FRAME.top}" y2="${FRAME.bottom}" />`;
    return html`<g class="slot"><rect x="${px(left)}" y="0" width="${px(right - left)}" height="${HEIGHT}" /><g class="tip"><rect class="cover" x="0" y="0" width="${WIDTH}" height="26" />${guide}${dots}<text x="${FRAME.left}" y="18">${nameOf(i + 1)}${text}</text></g></g>`;
  });
}

/** What a screen reader says. */
function summary({ title, series, format, points }: ChartOptions): string {
  const parts = series.map(({ name, values }) => {
    const last = values.findLast((value) => value !== null);
    return `${name} ${last === undefined ? 'none' : format(last)}`;
  });
  return `${title}, last ${points === undefined ? 'epoch' : 'point'}: ${parts.join(', ')}`;
}
