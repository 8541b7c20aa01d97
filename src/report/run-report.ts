/** Keeps the report of a run: gathers its content and rewrites the page after each epoch. */

import path from 'node:path';
import type { Artifacts } from '../artifacts/open-artifacts.js';
import { confidentMistakes, predictedLabels, type Predictions } from '../metrics/predictions.js';
import { confusionMatrix } from '../metrics/confusion-matrix.js';
import type { Dataset } from '../data/dataset.js';
import type { DataRemark, OrientedImages, PhaseRecord } from '../common/events.js';
import { writeFileAtomic } from '../common/node/atomic-file.js';
import { DataLoader } from '../data/data-loader.js';
import type { Files } from '../platform/platform.js';
import type { LoaderPool } from '../images/workers/worker-pool.js';
import {
  loadPredictions,
  predictionsFile,
  savePredictions,
} from '../checkpoint/predictions-file.js';
import { sampleNames } from '../data/folders/image-folder.js';
import { renderReport } from './render-report.js';
import type { EvaluationSummary, ReportData, ReportMistake } from './report-data.js';
import { inputThumbnail, thumbnail } from '../images/thumbnails.js';
import { producer } from '../common/node/package-info.js';
import { messageOf } from '../common/format.js';

/** The run that is reported, and how. */
export interface RunReportOptions {
  /** Run folder. */
  readonly dir: string;
  readonly artifacts: Artifacts;
  /** Reads the predictions of a resumed run. */
  readonly files: Files;
  /** Prepares the sample images; must stay open as long as the report. */
  readonly pool: LoaderPool;
  readonly train: Dataset;
  readonly val: Dataset;
  readonly exif: OrientedImages;
  /** Seed of the crops and flips. */
  readonly seed: number;
  readonly device: string;
  /** Epochs that the run is to train. */
  readonly epochs: number;
  /** All that is left out of the data, or used in an unexpected way. */
  readonly remarks: readonly DataRemark[];
  /** Content of config.json. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Called with the reason if a page cannot be written; training goes on. */
  readonly warn: (message: string) => void;
}

/** Results of a run so far. */
export interface RunReached {
  readonly records: readonly PhaseRecord[];
  readonly best: ReportData['best'];
}

const SAMPLE_IMAGES = 12;
const MAX_MISTAKES = 12;

type SampleImages = ReportData['sampleImages'];

/** The report of one run. */
export class RunReport {
  readonly #valNames: readonly string[];
  readonly #sampleImages: Promise<SampleImages>;
  readonly #opened: Promise<void>;
  readonly #thumbnails = new Map<number, string | null>();
  #evaluation: EvaluationSummary | null = null;

  /** @param reached results that a resumed run starts with. */
  constructor(
    private readonly options: RunReportOptions,
    private reached: RunReached = { records: [], best: null },
  ) {
    this.#valNames = sampleNames(options.val);
    // Not awaited, so that the first step need not wait for it.
    this.#sampleImages = trainingSamples(options, reached.records).catch(() => []);
    this.#opened = this.#open();
  }

  /** Waits for `epochs`, then writes the report of a run that is finished, or stopped if they fail. */
  async during(epochs: Promise<void>): Promise<void> {
    let state: 'finished' | 'stopped' = 'stopped';
    try {
      await epochs;
      state = 'finished';
    } finally {
      await this.#opened;
      await this.#write(state, await this.#sampleImages);
    }
  }

  /** Writes the page before the first epoch, or with the results of a resumed run. */
  async #open(): Promise<void> {
    const { best } = this.reached;
    await this.#attempt(async () => {
      const file = predictionsFile(this.options.dir, 'best');
      const saved =
        best === null ? null : await loadPredictions(file, this.options.files).catch(() => null);
      if (saved !== null && saved.epoch === best?.epoch)
        await this.#evaluate(saved, saved.epoch, true);
    });
    await this.#write('running', await this.#sampleImages);
  }

  /** Saves the predictions of a completed epoch and rewrites the page. */
  async epoch(reached: RunReached, predictions: Predictions): Promise<void> {
    await this.#opened;
    this.reached = reached;
    const epoch = reached.records.at(-1)?.epoch ?? 0;
    const isBest = reached.best?.epoch === epoch;
    await this.#attempt(async () => {
      const { val } = this.options;
      // Show the best epoch, or the latest one as long as there is no best.
      if (isBest || this.#evaluation?.isBest !== true)
        await this.#evaluate(predictions, epoch, isBest);
      const saved = { ...predictions, epoch, classNames: val.classes, names: this.#valNames };
      await savePredictions(this.#file('last'), saved);
      if (isBest) await savePredictions(this.#file('best'), saved);
    });
    await this.#write('running', await this.#sampleImages);
  }

  #file(name: 'best' | 'last'): string {
    return predictionsFile(this.options.dir, name);
  }

  async #evaluate(predictions: Predictions, epoch: number, isBest: boolean): Promise<void> {
    const { val } = this.options;
    const { labels } = predictions;
    const name = (label: number): string => val.classes[label] ?? String(label);
    const mistakes: ReportMistake[] = [];
    const found = confidentMistakes(predictions, MAX_MISTAKES);
    for (const index of this.#thumbnails.keys()) {
      if (!found.some((mistake) => mistake.index === index)) this.#thumbnails.delete(index);
    }
    for (const mistake of found) {
      const { index, label, predicted, confidence, labelProbability } = mistake;
      mistakes.push({
        uri: await this.#thumbnail(index),
        name: this.#valNames[index] ?? `sample ${index}`,
        label: name(label),
        predicted: name(predicted),
        confidence,
        labelProbability,
      });
    }
    const wrong = predictedLabels(predictions).filter((label, i) => label !== labels[i]).length;
    const matrix = confusionMatrix(predictions);
    this.#evaluation = { epoch, isBest, matrix, mistakes, mistakeCount: wrong };
  }

  /** Returns the thumbnail of a validation image. Cached, because an image is often mistaken in several epochs. */
  async #thumbnail(index: number): Promise<string | null> {
    const cached = this.#thumbnails.get(index);
    if (cached !== undefined) return cached;
    const sample = await this.options.val.get(index);
    const uri = await thumbnail(this.options.pool, sample.image);
    this.#thumbnails.set(index, uri);
    return uri;
  }

  async #write(state: ReportData['state'], sampleImages: SampleImages): Promise<void> {
    const { dir, artifacts, device, epochs, settings, remarks, train, val, exif } = this.options;
    await this.#attempt(async () => {
      const page = renderReport({
        title: path.basename(path.resolve(dir)),
        state,
        arch: artifacts.manifest.arch,
        device,
        classes: val.classes,
        trainImages: train.length,
        valImages: val.length,
        exif,
        epochs,
        records: this.reached.records,
        best: this.reached.best,
        evaluation: this.#evaluation,
        sampleImages,
        remarks,
        settings,
        producer: producer(),
      });
      await writeFileAtomic(path.join(dir, 'report.html'), page);
    });
  }

  /** Runs `write`; a report that cannot be written is a warning, not an error. */
  async #attempt(write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (error) {
      this.options.warn(messageOf(error));
    }
  }
}

/** Returns the first images of the first epoch that this process trains, as the network sees them. */
async function trainingSamples(
  { artifacts, pool, train, seed }: RunReportOptions,
  records: readonly PhaseRecord[],
): Promise<SampleImages> {
  const { preprocessing } = artifacts.manifest;
  const batchSize = Math.min(SAMPLE_IMAGES, train.length);
  const options = { artifacts, pool, dataset: train, seed, batchSize, prefetch: 1 };
  const loader = new DataLoader({ ...options, mode: 'train' });
  const names = sampleNames(train);
  const length = 3 * preprocessing.inputSize ** 2;
  const epoch = records.filter(({ phase }) => phase === 'val').length;
  for await (const { images, labels, indices } of loader.epoch(epoch)) {
    const samples = [...indices].map(async (index, i) => ({
      uri: await inputThumbnail(images.subarray(i * length, (i + 1) * length), preprocessing),
      name: names[index] ?? '',
      label: train.classes[labels[i] ?? -1] ?? '',
    }));
    return Promise.all(samples);
  }
  return [];
}
