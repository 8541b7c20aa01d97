/** The frame of the report and of find-lr's plot: one HTML file in one style, which loads nothing. */

import { html, Html } from '../common/html.js';
import { packageText } from '../common/node/package-info.js';

/** Allows the page's own scripts and styles and no other source, so that no content can reach the network. */
const POLICY =
  "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/**
 * Style sheets of the page, embedded in this order. They are read from src/, where tsc leaves them: the package
 * contains them, and no build has to copy them to dist/.
 */
const STYLES = ['page.css', 'chart.css', 'sections.css'];

/**
 * Returns a whole page.
 *
 * @param body markup between `<body>` and `</body>`.
 */
export function selfContainedPage(title: string, body: Html): string {
  const style = STYLES.map((name) => packageText(`src/report/${name}`)).join('');
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<meta http-equiv="Content-Security-Policy" content="${POLICY}" />
<link rel="icon" href="data:," />
<title>${title}</title>
<style>
${new Html(style)}</style>
</head>
<body>
${body}
</body>
</html>
`;
  return page.markup;
}
