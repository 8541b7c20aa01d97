/** The frame of a page that people look at: one HTML file in the report's style, nothing of it elsewhere. */

import { html, Html } from '../common/html.js';
import { REPORT_STYLE } from './page-style.js';

/** No source but the page itself: whatever it holds, it cannot reach the network. */
const POLICY =
  "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/** @param body what stands between `<body>` and `</body>`. */
export function selfContainedPage(title: string, body: Html): string {
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<meta http-equiv="Content-Security-Policy" content="${POLICY}" />
<link rel="icon" href="data:," />
<title>${title}</title>
<style>${new Html(REPORT_STYLE)}</style>
</head>
<body>
${body}
</body>
</html>
`;
  return page.markup;
}
