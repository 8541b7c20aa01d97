/** The report of a run: an HTML page that loads nothing, as a pure function of its content. */

import { html, jsonScript, Html } from '../common/html.js';
import type { PhaseRecord } from '../common/events.js';
import { formatDuration, formatRate, formatShare } from '../common/format.js';
import { packageText } from '../common/node/package-info.js';
import type { ReportData } from './report-data.js';
import {
  confusionSection,
  mistakesSection,
  remarksSection,
  sampleImagesSection,
  settingsSection,
} from './sections.js';
import { selfContainedPage } from './page.js';
import type { Series } from './chart-data.js';
import { chart } from './chart.js';

/** Returns the report as one HTML page. */
export function renderReport(data: ReportData): string {
  const { title, records, evaluation, sampleImages, remarks, settings, state } = data;
  const reload = new Html(`<script>${packageText('src/report/reload.js')}</script>`);
  return selfContainedPage(
    title,
    html`${header(data)}
<main>
${tiles(data)}
${charts(data)}
${evaluation === null ? html`` : confusionSection(evaluation, data.classes)}
${evaluation === null ? html`` : mistakesSection(evaluation)}
${sampleImages.length === 0 ? html`` : sampleImagesSection(sampleImages)}
${epochTable(data)}
${remarks.length === 0 ? html`` : remarksSection(remarks)}
${settingsSection(settings)}
</main>
<footer>Written by ${data.producer} after each epoch. Nothing in this page is loaded from elsewhere.</footer>
${jsonScript('metrics', records)}
${state === 'running' ? reload : html``}`,
  );
}

function header({ title, state, arch, device, classes, ...data }: ReportData): Html {
  const { trainImages, valImages, exif } = data;
  const use = exif.use === 'apply' ? 'applied' : 'ignored';
  const oriented = exif.images === 0 ? '' : ` · EXIF orientation of ${exif.images} images ${use}`;
  const words = { running: 'training', finished: 'finished', stopped: 'stopped' } as const;
  return html`<header><h1>${title}<span class="state ${state === 'finished' ? 'done' : state}">${words[state]}</span></h1><p class="soft">${arch} on ${device} · ${classes.length} classes · ${trainImages} training and ${valImages} validation images${oriented} </p></header>`;
}

function tile(value: string, label: string, extra: Html = html``, main = false): Html {
  return html`<div class="card tile${main ? ' main' : ''}"><b>${value}</b><span>${label}</span>${extra}</div>`;
}

function tiles({ best, records, epochs }: ReportData): Html {
  const done = records.filter(({ phase }) => phase === 'val').length;
  const seconds = records.reduce((sum, record) => sum + record.seconds, 0);
  const training = records.filter(({ phase }) => phase === 'train').at(-1);
  const speed = training === undefined ? '–' : (training.images / training.seconds).toFixed(1);
  const share = Math.min(100, (100 * done) / epochs);
  const meter = new Html(`<div class="meter"><i style="width:${share.toFixed(1)}%"></i></div>`);
  return html`<div class="tiles">
${tile(best === null ? '–' : formatShare(best.accuracy), 'best validation accuracy', html``, true)}
${tile(best === null ? '–' : best.loss.toFixed(4), best === null ? 'its loss' : `its loss (epoch ${best.epoch})`)}
${tile(`${done} of ${epochs}`, 'epochs', meter)} ${tile(speed, 'training images per second')}
${tile(formatDuration(seconds), 'time in epochs so far')}</div>`;
}

/** Returns one value per epoch; null if the phase has no record of it. */
function column(
  records: readonly PhaseRecord[],
  phase: PhaseRecord['phase'],
  value: (record: PhaseRecord) => number,
): (number | null)[] {
  const last = records.reduce((highest, { epoch }) => Math.max(highest, epoch), 0);
  const values = new Array<number | null>(last).fill(null);
  for (const record of records) {
    if (record.phase === phase) values[record.epoch - 1] = value(record);
  }
  return values;
}

/** Returns the training and the validation values as two lines of a chart. */
function pair(records: readonly PhaseRecord[], value: (record: PhaseRecord) => number): Series[] {
  return [
    { name: 'training', colour: 2, values: column(records, 'train', value) },
    { name: 'validation', colour: 1, values: column(records, 'val', value) },
  ];
}

function charts({ records, best }: ReportData): Html {
  if (records.length === 0) {
    return html`<p class="card empty">The first epoch is under way.</p>`;
  }
  const mark = best?.epoch ?? null;
  const rates = column(records, 'train', ({ lr }) => lr);
  const positive = rates.filter((rate) => rate !== null && rate > 0) as number[];
  const logarithmic =
    positive.length > 1 &&
    positive.length === rates.length &&
    Math.max(...positive) / Math.min(...positive) >= 10;
  return html`<div class="charts">
${chart({ title: 'Loss', series: pair(records, ({ loss }) => loss), mark, format: (v) => String(v), formatExact: (v) => v.toFixed(4) })}
${chart({ title: 'Accuracy', series: pair(records, ({ accuracy }) => accuracy), mark, limits: [0, 1], format: (v) => `${Number((v * 100).toFixed(1))}%`, formatExact: formatShare })}
${chart({ title: 'Learning rate', series: [{ name: 'learning rate', colour: 3, values: rates }], logarithmic, format: formatRate })}
${chart({ title: 'Seconds per epoch', series: timings(records), bars: true, format: (v) => String(v), formatExact: (v) => `${v.toFixed(1)} s` })}</div>`;
}

function timings(records: readonly PhaseRecord[]): Series[] {
  const waiting = (record: PhaseRecord): number => record.dataWaitSeconds;
  const busy = (record: PhaseRecord): number => record.seconds - record.dataWaitSeconds;
  const [train, val] = [column(records, 'train', waiting), column(records, 'val', waiting)];
  return [
    { name: 'training', colour: 2, values: column(records, 'train', busy) },
    { name: 'validation', colour: 1, values: column(records, 'val', busy) },
    {
      name: 'waiting for data',
      colour: 3,
      values: train.map((seconds, i) => (seconds ?? 0) + (val[i] ?? 0)),
    },
  ];
}

function epochTable({ records, best }: ReportData): Html {
  if (records.length === 0) return html``;
  const epochs = [...new Set(records.map(({ epoch }) => epoch))].reverse();
  const rows = epochs.map((epoch) => {
    const of = (phase: PhaseRecord['phase']): PhaseRecord | undefined =>
      records.findLast((record) => record.epoch === epoch && record.phase === phase);
    const [train, val] = [of('train'), of('val')];
    const cells = [
      train?.loss.toFixed(4),
      train && formatShare(train.accuracy),
      val?.loss.toFixed(4),
      val && formatShare(val.accuracy),
      formatRate((train ?? val)?.lr ?? 0),
      train && (train.images / train.seconds).toFixed(1),
      formatDuration((train?.seconds ?? 0) + (val?.seconds ?? 0)),
      train && formatShare(train.dataWaitSeconds / train.seconds),
    ].map((cell) => html`<td>${cell ?? '–'}</td>`);
    return html`<tr data-epoch="${epoch}" ${new Html(epoch === best?.epoch ? ' class="best"' : '')}><td>${epoch}</td>${cells}</tr>`;
  });
  return html`<h2>Epochs</h2><div class="card scroll"><table id="epochs"><thead><tr><th>Epoch</th><th>Training loss</th><th>accuracy</th><th>Validation loss</th><th>accuracy</th><th>Learning rate</th><th>Images/s</th><th>Time</th><th>Waiting for data</th></tr></thead><tbody>${rows}</tbody></table></div>`;
}
