/** The report of a run under way: gathers what the page shows and rewrites it after each epoch. */

import path from 'node:path';
import type { Artifacts } from '../artifacts/open-artifacts.js';
import { confidentMistakes, predictedLabels, type Predictions } from '../metrics/predictions.js';
import { confusionMatrix } from '../metrics/confusion-matrix.js';
import type { Dataset } from '../data/dataset.js';
import type { PhaseRecord } from '../common/events.js';
import { writeFileAtomic } from '../platform/node/files.js';
import { DataLoader } from '../data/data-loader.js';
import type { LoaderPool } from '../images/worker-pool.js';
import {
  loadPredictions,
  predictionsFile,
  savePredictions,
} from '../checkpoint/predictions-file.js';
import { sampleNames } from '../data/image-folder.js';
import {
  renderReport,
  type Judgement,
  type ReportData,
  type ShownMistake,
} from './render-report.js';
import { inputThumbnail, thumbnail } from '../images/thumbnails.js';
import { producer } from '../common/package-info.js';
import { messageOf } from '../common/format.js';

export interface RunReportOptions {
  /** Run folder. */
  readonly dir: string;
  readonly artifacts: Artifacts;
  /** Prepares the strip of training images; must be open as long as the report. */
  readonly pool: LoaderPool;
  readonly train: Dataset;
  readonly val: Dataset;
  /** Of the crops and flips. */
  readonly seed: number;
  readonly device: string;
  /** Epochs the run is to have. */
  readonly epochs: number;
  /** config.json. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Hears why a page could not be written; training goes on. */
  readonly warn: (message: string) => void;
}

/** Where the run is. */
export interface RunReached {
  readonly records: readonly PhaseRecord[];
  readonly best: ReportData['best'];
}

const STRIP_IMAGES = 12;
const MAX_MISTAKES = 12;

type Strip = ReportData['strip'];

export class RunReport {
  readonly #valNames: readonly string[];
  readonly #strip: Promise<Strip>;
  readonly #opened: Promise<void>;
  readonly #pictures = new Map<number, string | null>();
  #judgement: Judgement | null = null;

  /** @param reached where a resumed run goes on. */
  constructor(
    private readonly options: RunReportOptions,
    private reached: RunReached = { records: [], best: null },
  ) {
    this.#valNames = sampleNames(options.val);
    // Without waiting: the first steps need not.
    this.#strip = trainingStrip(options, reached.records).catch(() => []);
    this.#opened = this.#open();
  }

  /** Keeps the report while the epochs go on, and closes it however they end. */
  async during(epochs: Promise<void>): Promise<void> {
    let state: 'finished' | 'stopped' = 'stopped';
    try {
      await epochs;
      state = 'finished';
    } finally {
      await this.#opened;
      await this.#write(state, await this.#strip);
    }
  }

  /** Writes the page as it is before the first epoch, or where a resumed run goes on. */
  async #open(): Promise<void> {
    const { best } = this.reached;
    await this.#attempt(async () => {
      const file = predictionsFile(this.options.dir, 'best');
      const saved = best === null ? null : await loadPredictions(file).catch(() => null);
      if (saved !== null && saved.epoch === best?.epoch)
        await this.#judge(saved, saved.epoch, true);
    });
    await this.#write('running', await this.#strip);
  }

  /** An epoch is complete. Saves its predictions and rewrites the page. */
  async epoch(reached: RunReached, predictions: Predictions): Promise<void> {
    await this.#opened;
    this.reached = reached;
    const epoch = reached.records.at(-1)?.epoch ?? 0;
    const isBest = reached.best?.epoch === epoch;
    await this.#attempt(async () => {
      const { val } = this.options;
      // By the weights that are kept; by the latest where nothing was ever the best.
      if (isBest || this.#judgement?.isBest !== true) await this.#judge(predictions, epoch, isBest);
      const saved = { ...predictions, epoch, classNames: val.classes, names: this.#valNames };
      await savePredictions(this.#file('last'), saved);
      if (isBest) await savePredictions(this.#file('best'), saved);
    });
    await this.#write('running', await this.#strip);
  }

  #file(name: 'best' | 'last'): string {
    return predictionsFile(this.options.dir, name);
  }

  async #judge(predictions: Predictions, epoch: number, isBest: boolean): Promise<void> {
    const { val } = this.options;
    const { labels } = predictions;
    const name = (label: number): string => val.classes[label] ?? String(label);
    const mistakes: ShownMistake[] = [];
    const found = confidentMistakes(predictions, MAX_MISTAKES);
    for (const index of this.#pictures.keys()) {
      if (!found.some((mistake) => mistake.index === index)) this.#pictures.delete(index);
    }
    for (const mistake of found) {
      const { index, label, predicted, confidence, labelProbability } = mistake;
      mistakes.push({
        uri: await this.#picture(index),
        name: this.#valNames[index] ?? `sample ${index}`,
        label: name(label),
        predicted: name(predicted),
        confidence,
        labelProbability,
      });
    }
    const wrong = predictedLabels(predictions).filter((label, i) => label !== labels[i]).length;
    const matrix = confusionMatrix(predictions);
    this.#judgement = { epoch, isBest, matrix, mistakes, mistakeCount: wrong };
  }

  /** The same images tend to be mistaken epoch after epoch: each is made small once. */
  async #picture(index: number): Promise<string | null> {
    const known = this.#pictures.get(index);
    if (known !== undefined) return known;
    const sample = await this.options.val.get(index);
    const uri = await thumbnail(this.options.pool.images, sample.image);
    this.#pictures.set(index, uri);
    return uri;
  }

  async #write(state: ReportData['state'], strip: Strip): Promise<void> {
    const { dir, artifacts, device, epochs, settings, train, val } = this.options;
    await this.#attempt(async () => {
      const page = renderReport({
        title: path.basename(path.resolve(dir)),
        state,
        arch: artifacts.manifest.arch,
        device,
        classes: val.classes,
        trainImages: train.length,
        valImages: val.length,
        epochs,
        records: this.reached.records,
        best: this.reached.best,
        judgement: this.#judgement,
        strip,
        settings,
        producer: producer(),
      });
      await writeFileAtomic(path.join(dir, 'report.html'), page);
    });
  }

  /** What is only to be looked at does not end a run. */
  async #attempt(write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (error) {
      this.options.warn(messageOf(error));
    }
  }
}

/** The first images of the first epoch that is trained here, as the network sees them. */
async function trainingStrip(
  { artifacts, pool, train, seed }: RunReportOptions,
  records: readonly PhaseRecord[],
): Promise<Strip> {
  const { preprocessing } = artifacts.manifest;
  const batchSize = Math.min(STRIP_IMAGES, train.length);
  const options = { artifacts, pool, dataset: train, seed, batchSize, prefetch: 1 };
  const loader = new DataLoader({ ...options, mode: 'train' });
  const names = sampleNames(train);
  const length = 3 * preprocessing.inputSize ** 2;
  const epoch = records.filter(({ phase }) => phase === 'val').length;
  for await (const { images, labels, indices } of loader.epoch(epoch)) {
    const pictures = [...indices].map(async (index, i) => ({
      uri: await inputThumbnail(images.subarray(i * length, (i + 1) * length), preprocessing),
      name: names[index] ?? '',
      label: train.classes[labels[i] ?? -1] ?? '',
    }));
    return Promise.all(pictures);
  }
  return [];
}
