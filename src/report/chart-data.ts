/** The content of a chart. */

/** One line, or one part of the bars. */
export interface Series {
  readonly name: string;
  /** Class `s1`, `s2` or `s3` of the style sheet. */
  readonly colour: 1 | 2 | 3;
  /** One value per point, from point 1 on; null if there is none. */
  readonly values: readonly (number | null)[];
}

/** Contents and style of a chart. */
export interface ChartOptions {
  readonly title: string;
  readonly series: readonly Series[];
  /** Formats a value, on the axis and when pointed at. */
  readonly format: (value: number) => string;
  /** Formats the value pointed at, with more digits; default `format`. */
  readonly formatExact?: (value: number) => string;
  /** Point to mark on the last series, from 1 on. */
  readonly mark?: number | null;
  /** Lowest and highest value of the axis. */
  readonly limits?: readonly [number, number];
  /** Whether the axis is logarithmic; all values must be positive. */
  readonly logarithmic?: boolean;
  /** Whether stacked bars from 0 are drawn in place of lines. */
  readonly bars?: boolean;
  /** Names of the points if they are not epochs. */
  readonly points?: Points;
}

/** Names of the points along the chart. */
export interface Points {
  /** Returns the name of a point, from 1 on, that is shown when pointed at. */
  readonly name: (point: number) => string;
  /** Labels below the chart; `at` may lie between two points. */
  readonly ticks: readonly { readonly at: number; readonly text: string }[];
}
