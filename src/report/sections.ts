/** The report's sections about single classes, single images and the settings. */

import { classScores } from '../metrics/confusion-matrix.js';
import { html, Html } from '../common/html.js';
import { formatShare } from '../common/format.js';
import type { EvaluationSummary, ReportData, ReportImage, ReportMistake } from './report-data.js';

/** With more classes, the most frequent confusions are listed in place of the matrix. */
const MAX_MATRIX = 30;
/** Confusions in that list. */
const MAX_PAIRS = 30;

/** Shows which classes are taken for which, and the scores of each class. */
export function confusionSection(evaluation: EvaluationSummary, classes: readonly string[]): Html {
  const { epoch, isBest, matrix } = evaluation;
  const which = isBest ? `epoch ${epoch}, the best so far` : `epoch ${epoch}`;
  const table =
    classes.length <= MAX_MATRIX ? matrixTable(matrix, classes) : pairs(matrix, classes);
  return html`<h2>Classes</h2><p class="note">Validation images, weights of ${which}.</p><div class="two">${table}${scoreTable(matrix, classes)}</div>`;
}

function matrixTable(matrix: EvaluationSummary['matrix'], classes: readonly string[]): Html {
  const many = classes.length > 8 ? ' many' : '';
  const head = classes.map((name) => html`<th scope="col" title="${name}">${name}</th>`);
  const rows = matrix.map((counts, actual) => {
    const total = counts.reduce((a, b) => a + b, 0);
    const name = classes[actual] ?? '';
    const cells = counts.map((count, predicted) => {
      const share = total === 0 ? 0 : count / total;
      const colour = actual === predicted ? '--good' : '--bad';
      const alpha = count === 0 ? 0.05 : 0.15 + 0.7 * share;
      const ink = alpha > 0.5 ? '#fff' : 'inherit';
      const style = new Html(
        ` style="background:rgb(var(${count === 0 ? '--good' : colour}) / ${alpha.toFixed(2)});color:${ink}"`,
      );
      const title = `${name} taken for ${classes[predicted] ?? ''}: ${count} of ${total}`;
      return html`<td title="${title}" ${style}>${count === 0 ? '·' : count}</td>`;
    });
    return html`<tr><th scope="row" class="name" title="${name}">${name}</th>${cells}</tr>`;
  });
  return html`<div class="card matrix scroll${many}"><table id="confusion"><thead><tr><th class="corner">actual ↓ / predicted →</th>${head}</tr></thead><tbody>${rows}</tbody></table></div>`;
}

function pairs(matrix: EvaluationSummary['matrix'], classes: readonly string[]): Html {
  const found = matrix.flatMap((counts, actual) =>
    counts.flatMap((count, predicted) =>
      count > 0 && predicted !== actual ? [{ actual, predicted, count }] : [],
    ),
  );
  const rows = found
    .sort((a, b) => b.count - a.count)
    .slice(0, MAX_PAIRS)
    .map(
      ({ actual, predicted, count }) =>
        html`<tr><td class="name">${classes[actual] ?? ''}</td><td class="name left">${classes[predicted] ?? ''}</td><td>${count}</td></tr>`,
    );
  return html`<div class="card scroll"><table id="confusions"><thead><tr><th>Actual</th><th class="left">Taken for</th><th>Images</th></tr></thead><tbody>${rows}</tbody></table></div>`;
}

function scoreTable(matrix: EvaluationSummary['matrix'], classes: readonly string[]): Html {
  const shown = (share: number | null): string => (share === null ? '–' : formatShare(share));
  const rows = classScores(matrix).map(
    ({ precision, recall, f1, support }, label) =>
      html`<tr><td class="name" title="${classes[label] ?? ''}">${classes[label] ?? ''}</td><td>${shown(precision)}</td><td>${shown(recall)}</td><td>${shown(f1)}</td><td>${support}</td></tr>`,
  );
  return html`<div class="card scroll"><table id="scores"><thead><tr><th>Class</th><th title="of the images predicted to be of the class, the share that is">Precision</th><th title="of the class's images, the share that was found">Recall</th><th title="harmonic mean of precision and recall">F1</th><th>Images</th></tr></thead><tbody>${rows}</tbody></table></div>`;
}

function image({ uri, name }: ReportImage): Html {
  if (uri === null) return html`<div class="lost">not readable</div>`;
  return html`<img src="${uri}" alt="${name}" loading="lazy" />`;
}

/** Shows the most confident mistakes. */
export function mistakesSection({ mistakes, mistakeCount }: EvaluationSummary): Html {
  if (mistakeCount === 0) {
    return html`<h2>Mistakes</h2><p class="card empty">None: every validation image was recognised.</p>`;
  }
  const shots = mistakes.map((mistake: ReportMistake) => {
    const { name, label, predicted, confidence, labelProbability } = mistake;
    return html`<div class="card shot" title="${name}">${image(mistake)}<div><b class="wrong">${predicted} ${formatShare(confidence)}</b><span>is ${label} ${formatShare(labelProbability)}</span><span class="soft">${name}</span></div></div>`;
  });
  const more =
    mistakes.length < mistakeCount ? `the ${mistakes.length} most confident of ` : 'all ';
  return html`<h2>Mistakes</h2><p class="note">Validation images taken for another class, ${more}${mistakeCount}.</p><div class="shots">${shots}</div>`;
}

/** Shows training images as the network sees them. */
export function sampleImagesSection(images: ReportData['sampleImages']): Html {
  const shots = images.map(
    (sample) =>
      html`<figure title="${sample.name}">${image(sample)}<figcaption>${sample.label}</figcaption></figure>`,
  );
  return html`<h2>What the network sees</h2><p class="note">The first training images of an epoch, cropped and flipped as they were.</p><div class="card strip">${shots}</div>`;
}

/** Names what is left out of the data, or used in an unexpected way. */
export function remarksSection(remarks: ReportData['remarks']): Html {
  const rows = remarks.map(
    ({ reason, count, message }) =>
      html`<tr><td>${reason}</td><td>${count}</td><td class="left">${message}</td></tr>`,
  );
  return html`<h2>Data left out, and other remarks</h2><div class="card scroll settings"><table id="remarks"><tbody>${rows}</tbody></table></div>`;
}

/** Lists the settings. */
export function settingsSection(settings: Readonly<Record<string, unknown>>): Html {
  const rows = Object.entries(settings).map(
    ([name, value]) =>
      html`<tr><td>${name}</td><td>${typeof value === 'string' ? value : JSON.stringify(value)}</td></tr>`,
  );
  return html`<h2>Settings</h2><div class="card scroll settings"><table id="settings"><tbody>${rows}</tbody></table></div>`;
}
