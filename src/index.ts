/** Fine-tune image classifiers on stock ONNX Runtime. */

export { bundledArtifacts, openArtifacts, type Artifacts, type Manifest } from './artifacts.js';
export { Classifier, type ClassifierOptions, type Item, type Outcome } from './classifier.js';
export { loadCheckpoint, type Checkpoint, type RunState } from './checkpoint.js';
export { TRAIN_DEFAULTS, type Device, type TrainOptions, type TrainSettings } from './config.js';
export { ImageFolder, type Dataset, type Sample } from './dataset.js';
export * from './errors.js';
export type * from './events.js';
export { evaluateFolder, type EvaluationResult } from './evaluate-run.js';
export { exportInference, type ExportOptions, type ExportResult } from './export-run.js';
export { findLr, type FindLrResult } from './find-lr.js';
export type { FindLrOptions } from './find-lr-config.js';
export type { LrPoint, LrSuggestion } from './lr-range-test.js';
export { predict, type Prediction } from './predict.js';
export type { State, Tensor } from './tensors.js';
export { train } from './trainer.js';
