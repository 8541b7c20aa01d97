/** Fine-tune image classifiers on stock ONNX Runtime. */

export type { Manifest } from './artifacts/manifest.js';
export { architectures, bundledArtifacts } from './artifacts/node/bundled-artifacts.js';
export { loadCheckpoint, openArtifacts } from './platform/node/defaults.js';
export type { Artifacts } from './artifacts/open-artifacts.js';
export type {
  BatchNormSpec,
  BufferSpec,
  EarlierGraphs,
  FoldSpec,
  GpuGraphSpec,
  GradientGraphSpec,
  GraphSpec,
  Initializer,
  MaskEntry,
  MasksSpec,
  PackedNames,
  ParameterSpec,
  Preprocessing,
  PretrainedSpec,
  TensorSpec,
  TrainingGraphSpec,
  UpdateGraphSpec,
  WeightPackage,
} from './artifacts/manifest.js';
export type { ClassScore } from './metrics/confusion-matrix.js';
export {
  Classifier,
  evaluate,
  exportInference,
  findLr,
  predict,
  train,
} from './platform/node/library.js';
export type { Classification, ClassifierOptions } from './inference/classifier.js';
/** @deprecated Use `Classification`. */
export type { Classification as Outcome } from './inference/classifier.js';
export type { InputImage } from './data/dataset.js';
/** @deprecated Use `InputImage`. */
export type { InputImage as Item } from './data/dataset.js';
export type {
  BestResult,
  Checkpoint,
  Fingerprints,
  GraphsRecord,
  PartialEpoch,
  TrainerState,
  /** @deprecated Use `TrainerState`. */
  TrainerState as RunState,
} from './checkpoint/checkpoint.js';
export {
  DEVICES,
  TRAIN_DEFAULTS,
  type Device,
  type TrainSettings,
} from './config/train-settings.js';
export type { TrainOptions } from './config/train-options.js';
export type { Naming } from './config/validator.js';
export {
  ImageFolder,
  type FileSample,
  type ImageFolderOptions,
} from './data/folders/image-folder.js';
export type { LeftOut } from './data/remarks.js';
export { type Dataset, type Sample } from './data/dataset.js';
export * from './common/errors.js';
export type * from './common/events.js';
export {
  evaluateFolder,
  type EvaluationResult,
  type FolderEvaluation,
} from './inference/evaluate.js';
export type { ExportResult } from './export/export-inference.js';
export type { FindLrResult } from './train/find-lr.js';
export type { FindLrOptions } from './config/find-lr-options.js';
export type { LrPoint, LrSuggestion } from './metrics/lr-curve.js';
export type { ModelFile } from './inference/model-file.js';
export type { Prediction } from './inference/predict.js';
export type { PredictImages, PredictOptions } from './config/predict-options.js';
export type { EvaluateOptions } from './config/evaluate-options.js';
export type {
  ClassifierMachine,
  ClassifierSource,
  ModelSource,
  RunSource,
} from './config/classifier-options.js';
export type { ExportOptions } from './config/export-options.js';
export type { Replay } from './export/verify-export.js';
export type { CheckpointName } from './checkpoint/run-folder.js';
export type { State, Tensor } from './common/tensor.js';
export type { ExifUse } from './platform/platform.js';
export type { Compression } from './onnx/compress-weights.js';
