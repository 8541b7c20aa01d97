/** The report's style sheet: light and dark, from a phone's width up, no fonts or images from elsewhere. */

export const REPORT_STYLE = `
:root {
  color-scheme: light dark;
  --page: #f4f5f8; --card: #fff; --ink: #1b1f2a; --soft: #5d6678; --line: #e3e6ee;
  --s1: #3867d6; --s2: #e07b1a; --s3: #12957a; --good: 56 103 214; --bad: 214 69 56;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12141a; --card: #1b1e27; --ink: #e8eaf1; --soft: #98a1b5; --line: #2d3240;
    --s1: #7aa2ff; --s2: #f5a553; --s3: #4fd1b0; --good: 90 130 240; --bad: 236 96 84;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; padding: 28px 20px 60px; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  font-variant-numeric: tabular-nums; -webkit-text-size-adjust: 100%;
}
main, header { max-width: 1120px; margin: 0 auto; }
h1 { margin: 0; font-size: 26px; line-height: 1.25; letter-spacing: -0.02em; overflow-wrap: anywhere; }
h2 { margin: 36px 0 12px; font-size: 17px; letter-spacing: -0.01em; }
p { margin: 4px 0; }
.soft, .note { color: var(--soft); }
.note { font-size: 13px; margin: -6px 0 12px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 14px; margin: 0; }
.state { display: inline-block; padding: 2px 10px; border-radius: 99px; font-size: 13px; font-weight: 600;
  background: rgb(var(--good) / 0.14); color: var(--s1); vertical-align: 4px; margin-left: 8px; }
.state.done { background: color-mix(in srgb, var(--s3) 16%, transparent); color: var(--s3); }
.tiles { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); margin: 20px 0 12px; }
.tile { padding: 14px 16px; }
.tile b { display: block; font-size: 25px; line-height: 1.25; letter-spacing: -0.02em; font-weight: 650; }
.tile span { color: var(--soft); font-size: 13px; }
.tile.main b { color: var(--s1); }
.meter { height: 6px; border-radius: 3px; background: var(--line); margin-top: 9px; overflow: hidden; }
.meter i { display: block; height: 100%; border-radius: 3px; background: var(--s1); }
.charts { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); }
.single { max-width: 760px; margin: 0 0 18px; }
.chart { padding: 14px 12px 6px; min-width: 0; }
.chart figcaption { font-weight: 600; padding: 0 6px 2px; }
.chart svg { display: block; width: 100%; height: auto; }
.grid { stroke: var(--line); stroke-width: 1; }
text { fill: var(--ink); font-size: 12.5px; }
.tick { fill: var(--soft); font-size: 11.5px; }
.line { fill: none; stroke-width: 2.4; stroke-linejoin: round; stroke-linecap: round; }
.line.s1, .mark.s1 { stroke: var(--s1); } .line.s2, .mark.s2 { stroke: var(--s2); } .line.s3, .mark.s3 { stroke: var(--s3); }
.dot.s1, .bar.s1, .key.s1, .value.s1 { fill: var(--s1); } .dot.s2, .bar.s2, .key.s2, .value.s2 { fill: var(--s2); }
.dot.s3, .bar.s3, .key.s3, .value.s3 { fill: var(--s3); }
.value { font-weight: 600; }
.mark { fill: none; stroke-width: 1.8; }
.slot > rect { fill: transparent; }
.tip { opacity: 0; pointer-events: none; }
.slot:hover .tip { opacity: 1; }
.cover { fill: var(--card); }
.guide { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 3 3; }
.two { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); align-items: start; }
.scroll { overflow: auto; max-height: 560px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { padding: 7px 12px; text-align: right; white-space: nowrap; border-top: 1px solid var(--line); }
th { color: var(--soft); font-weight: 500; font-size: 13px; }
thead th { border-top: 0; position: sticky; top: 0; background: var(--card); }
th:first-child, td:first-child, .left { text-align: left; }
tr.best td { background: rgb(var(--good) / 0.1); font-weight: 600; }
.name { max-width: 220px; overflow: hidden; text-overflow: ellipsis; }
.matrix { padding: 14px; }
.matrix table { width: auto; margin: 0 auto; border-collapse: separate; border-spacing: 3px; }
.matrix th, .matrix td { border: 0; position: static; background: none; }
.matrix td { text-align: center; min-width: 64px; height: 48px; padding: 4px 6px; border-radius: 8px; }
.matrix thead th { text-align: center; max-width: 120px; overflow: hidden; text-overflow: ellipsis; }
.matrix thead th.corner, .matrix.many thead th.corner { writing-mode: initial; transform: none; max-width: none; text-align: left; vertical-align: bottom; font-size: 12px; }
.matrix.many thead th { writing-mode: vertical-rl; transform: rotate(180deg); text-align: left; max-height: 120px; }
.matrix.many td { min-width: 30px; height: 30px; padding: 2px; font-size: 12px; border-radius: 5px; }
.shots { display: grid; gap: 12px; grid-template-columns: repeat(auto-fill, minmax(148px, 1fr)); }
.shot { overflow: hidden; }
.shot img, .shot .lost { display: block; width: 100%; aspect-ratio: 1; object-fit: cover; background: var(--line); }
.shot .lost { display: grid; place-items: center; color: var(--soft); font-size: 13px; }
.shot div { padding: 8px 11px 10px; font-size: 13px; line-height: 1.4; }
.shot b, .shot span { display: block; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.shot .wrong { color: rgb(var(--bad)); }
.strip { display: flex; gap: 8px; overflow-x: auto; padding: 12px; }
.strip figure { margin: 0; flex: 0 0 112px; }
.strip img { display: block; width: 112px; height: 112px; border-radius: 9px; }
.strip figcaption { font-size: 12px; color: var(--soft); overflow: hidden; text-overflow: ellipsis; white-space: nowrap; padding-top: 4px; }
.settings td { white-space: normal; overflow-wrap: anywhere; }
.settings td:last-child { text-align: left; font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-size: 13px; }
.settings td:first-child { color: var(--soft); width: 38%; }
.empty { padding: 22px; text-align: center; color: var(--soft); }
footer { max-width: 1120px; margin: 40px auto 0; color: var(--soft); font-size: 13px; }
@media (max-width: 560px) {
  body { padding: 20px 12px 40px; }
  .tiles { grid-template-columns: 1fr 1fr; }
  .shots { grid-template-columns: 1fr 1fr; }
  th, td { padding: 7px 9px; }
}
`;
