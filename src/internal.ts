/**
 * Building blocks for the programs in scripts/ that compare the driver with PyTorch and time it. The package does
 * not export them: any of them may change between two versions.
 */

export { bundledArtifacts } from './artifacts/node/bundled-artifacts.js';
export { initialState, openArtifacts, readSafetensors } from './platform/node/defaults.js';
export { stateLayout } from './artifacts/state-layout.js';
export { Philox, STREAM } from './common/philox.js';
export { float32Tensor } from './common/tensor.js';
export { checkImages } from './data/check-images.js';
export { DataLoader } from './data/data-loader.js';
export { ImageFolder } from './data/folders/image-folder.js';
export { openDevice } from './devices/choose-device.js';
export { decodeImage } from './platform/node/sharp-decoder.js';
export { ImageCache } from './images/workers/image-cache.js';
export { randomFlip, randomResizedCropBox } from './images/transforms.js';
export { LoaderPool } from './images/workers/worker-pool.js';
export { buildInferenceModel } from './onnx/inference-model.js';
export { writeFileAtomic } from './common/node/atomic-file.js';
export { nodePlatform } from './platform/node/node-platform.js';
export { OrtWorker } from './session/ort-worker.js';
export { TrainSession } from './session/train-session.js';
export { targetRows } from './train/loss-targets.js';
export { stepLr } from './train/lr-schedule.js';
export { stack } from './train/stack-batches.js';
export { trainLoneEpoch } from './train/train-epoch.js';
export { stepsPerExecution } from './session/training-graph.js';
export { encodeSafetensors } from './weights/safetensors.js';
