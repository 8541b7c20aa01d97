/** The content of a report. */

import type { DataRemark, OrientedImages, PhaseRecord } from '../common/events.js';

/** An image in the page. */
export interface ReportImage {
  /** `data:` URI; null where the image could not be read. */
  readonly uri: string | null;
  /** Name shown with the image. */
  readonly name: string;
}

/** A validation image that was classified wrongly. */
export interface ReportMistake extends ReportImage {
  /** Name of the right class. */
  readonly label: string;
  /** Name of the predicted class. */
  readonly predicted: string;
  /** Probability of the predicted class. */
  readonly confidence: number;
  /** Probability of the right class. */
  readonly labelProbability: number;
}

/** How the weights of one epoch did on the validation images. */
export interface EvaluationSummary {
  readonly epoch: number;
  readonly isBest: boolean;
  /** `matrix[actual][predicted]`: how many images. */
  readonly matrix: readonly (readonly number[])[];
  readonly mistakes: readonly ReportMistake[];
  /** Number of mistakes, of which `mistakes` shows the most confident. */
  readonly mistakeCount: number;
}

/** Everything that a report shows. */
export interface ReportData {
  /** Name of the run. */
  readonly title: string;
  readonly state: 'running' | 'finished' | 'stopped';
  readonly arch: string;
  readonly device: string;
  readonly classes: readonly string[];
  readonly trainImages: number;
  readonly valImages: number;
  readonly exif: OrientedImages;
  /** Epochs that the run is to train. */
  readonly epochs: number;
  /** Lines of metrics.jsonl. */
  readonly records: readonly PhaseRecord[];
  /** The best epoch so far. */
  readonly best: {
    readonly epoch: number;
    readonly accuracy: number;
    readonly loss: number;
  } | null;
  /** Null before the first epoch is complete. */
  readonly evaluation: EvaluationSummary | null;
  /** Training images as the network sees them. */
  readonly sampleImages: readonly (ReportImage & { readonly label: string })[];
  /** All that is left out of the data, or used in an unexpected way. */
  readonly remarks: readonly DataRemark[];
  /** Content of config.json. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Name and version of this program. */
  readonly producer: string;
}
