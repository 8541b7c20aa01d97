/** Fine-tune image classifiers on stock ONNX Runtime. */

export {
  ARCHITECTURES,
  bundledArtifacts,
  openArtifacts,
  type Artifacts,
  type Manifest,
} from './artifacts.js';
export type {
  Arch,
  BufferSpec,
  FoldSpec,
  GpuGraphSpec,
  GradientGraphSpec,
  GraphSpec,
  Initializer,
  PackedNames,
  ParameterSpec,
  Preprocessing,
  PretrainedSpec,
  TensorSpec,
  TrainingGraphSpec,
  UpdateGraphSpec,
} from './artifacts.js';
export type { ClassScore } from './classification.js';
export { Classifier, type ClassifierOptions, type Item, type Outcome } from './classifier.js';
export {
  loadCheckpoint,
  type BestResult,
  type Checkpoint,
  type PartialEpoch,
  type RunState,
} from './checkpoint.js';
export {
  DEVICES,
  TRAIN_DEFAULTS,
  type Device,
  type Naming,
  type TrainOptions,
  type TrainSettings,
} from './config.js';
export { ImageFolder, type Dataset, type FileSample, type Sample } from './dataset.js';
export * from './errors.js';
export type * from './events.js';
export { evaluateFolder, type EvaluationResult } from './evaluate-run.js';
export { exportInference, type ExportOptions, type ExportResult } from './export-run.js';
export { findLr, type FindLrResult } from './find-lr.js';
export type { FindLrOptions } from './find-lr-config.js';
export type { LrPoint, LrSuggestion } from './lr-range-test.js';
export type { ModelFile } from './model-file.js';
export { predict, type Prediction } from './predict.js';
export type { Replay } from './replay.js';
export type { CheckpointName } from './run-folder.js';
export type { State, Tensor } from './tensors.js';
export { train } from './trainer.js';
export type { Compression } from './weight-compression.js';
