/** Areas of a chart that show the values of a point when the pointer is on them. The style sheet does it, no script. */

import { type Html, html } from '../common/html.js';
import { FRAME, HEIGHT, WIDTH, epochPoints, px } from './chart-axis.js';
import type { ChartOptions } from './chart-data.js';

/** Returns one area per point, which shows the values in place of the legend when pointed at or tapped. */
export function hovers(
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
