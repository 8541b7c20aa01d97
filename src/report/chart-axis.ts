/** Positions in a chart: ticks, scales and the frame they lie in. */

import type { Points } from './chart-data.js';

/** Size of a chart in units of its view box. */
export const WIDTH = 400;
export const HEIGHT = 236;
/** The part of a chart between its axes. */
export const FRAME = { left: 50, right: 388, top: 34, bottom: 206 } as const;

/** Rounds a position to a tenth of a unit, to keep the page small. */
export function px(value: number): number {
  return Math.round(value * 10) / 10;
}

/** Returns two to about six round numbers that span `low` to `high`. */
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

/** A vertical axis. */
export interface Axis {
  readonly ticks: readonly number[];
  /** Returns the position of a value as a share of the axis: 0 at the bottom, 1 at the top. */
  at(value: number): number;
}

/** Returns an axis for values, within `limits` if at least two ticks are left. */
export function linearAxis(values: readonly number[], limits?: readonly [number, number]): Axis {
  const low = values.reduce((a, b) => Math.min(a, b), Infinity);
  const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  const all = niceTicks(Number.isFinite(low) ? low : 0, Number.isFinite(high) ? high : 1);
  const within = all.filter((t) => limits === undefined || (t >= limits[0] && t <= limits[1]));
  const ticks = within.length >= 2 ? within : all;
  const [bottom, top] = [ticks[0] ?? 0, ticks.at(-1) ?? 1];
  return { ticks, at: (value) => (value - bottom) / (top - bottom) };
}

/** Returns an axis with powers of ten for positive values. */
export function logAxis(values: readonly number[]): Axis {
  const logs = values.filter((value) => value > 0).map(Math.log10);
  const low = Math.floor(Math.min(...logs) + 1e-9);
  const high = Math.max(low + 1, Math.ceil(Math.max(...logs) - 1e-9));
  const stride = Math.ceil((high - low) / 5);
  const count = Math.floor((high - low) / stride) + 1;
  const ticks = Array.from({ length: count }, (_, i) => Number(`1e${low + i * stride}`));
  return { ticks, at: (value) => (Math.log10(value) - low) / (high - low) };
}

/** Returns the scale from a point (from 1 on) to x. Bars stay inside the frame; lines reach its sides. */
export function xScale(epochs: number, bars: boolean): (epoch: number) => number {
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

/** Names points that are epochs. */
export function epochPoints(epochs: number): Points {
  const ticks = epochTicks(epochs).map((epoch) => ({ at: epoch, text: String(epoch) }));
  return { name: (epoch) => `Epoch ${epoch}`, ticks };
}
