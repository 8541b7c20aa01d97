/**
 * Lets Python call the compiled program (dist/). Reads one JSON job per line from standard input and writes one
 * JSON answer per line to standard output. Tensors are in safetensors files that the job names. The Python side,
 * bridge.py, describes each job.
 */

import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import {
  buildInferenceModel,
  DataLoader,
  decodeImage,
  encodeSafetensors,
  float32Tensor,
  ImageFolder,
  initialState,
  openArtifacts,
  openDevice,
  Philox,
  randomFlip,
  randomResizedCropBox,
  readSafetensors,
  OrtWorker,
  stateLayout,
  stepLr,
  stepsPerExecution,
  STREAM,
  targetRows,
  trainLoneEpoch,
  TrainSession,
  writeFileAtomic,
  nodePlatform,
} from '../../dist/src/internal.js';

const WORKERS = 2;

/** The open training session; there is at most one. */
let open = null;

async function read(file) {
  return (await readSafetensors(file)).tensors;
}

async function write(file, tensors) {
  await writeFileAtomic(file, encodeSafetensors(new Map(Object.entries(tensors))));
}

function int64(shape, values) {
  return { dtype: 'int64', shape, data: BigInt64Array.from(values, (value) => BigInt(value)) };
}

/** Selects all float tensors of the state except momentum. */
function weightFeeds({ manifest }, tensors) {
  const names = [...manifest.parameters, ...manifest.buffers].map(({ name }) => name);
  return Object.fromEntries(names.map((name) => [name, tensors.get(name)]));
}

async function withRuntime(threads, use) {
  const runtime = new OrtWorker(nodePlatform.ort, 'cpu', threads);
  try {
    return await use(runtime);
  } finally {
    await runtime.close();
  }
}

/** Passes batches on and copies them to `outputs`, so that PyTorch can train on the same batches. */
async function* recorded(batches, { inputSize }, outputs) {
  for await (const batch of batches) {
    const { images, labels } = batch;
    const number = Object.keys(outputs).filter((name) => name.startsWith('labels.')).length;
    const shape = [labels.length, 3, inputSize, inputSize];
    outputs[`images.${number}`] = float32Tensor(shape, images.slice());
    outputs[`labels.${number}`] = int64([labels.length], labels);
    if (batch.masks !== undefined) {
      const width = batch.masks.length / labels.length;
      outputs[`masks.${number}`] = float32Tensor([labels.length, width], batch.masks.slice());
    }
    yield batch;
  }
}

const jobs = {
  async open({ artifacts: dir, classes, provider, threads }) {
    await jobs.close();
    const artifacts = await openArtifacts(dir);
    const { runtime } = await openDevice(provider, threads, artifacts, nodePlatform.ort);
    const session = await TrainSession.create(runtime, artifacts, classes).catch(async (error) => {
      // Close the runtime: its thread would keep the process alive.
      await runtime.close();
      throw error;
    });
    open = { artifacts, classes, runtime, session };
  },

  async close() {
    await open?.runtime.close();
    open = null;
  },

  async setState({ input }) {
    const state = new Map(await read(input));
    const layout = stateLayout(open.artifacts.manifest, open.classes);
    for (const { name, shape, role } of layout) {
      if (role !== 'momentum' || state.has(name)) continue;
      const count = shape.reduce((a, b) => a * b, 1);
      state.set(name, float32Tensor(shape, new Float32Array(count)));
    }
    await open.session.setState(state);
  },

  async getState({ output }) {
    await write(output, Object.fromEntries(await open.session.getState()));
  },

  async step({ input, lr, headLr, momentum, weightDecay, output }) {
    const tensors = await read(input);
    const { shape, data: images } = tensors.get('images');
    const labels = Int32Array.from(tensors.get('labels').data, Number);
    const [steps, batchSize] = shape;
    const { classes } = open;
    const targets = new Float32Array(steps * batchSize * classes);
    for (let step = 0; step < steps; step++) {
      const rows = labels.subarray(step * batchSize, (step + 1) * batchSize);
      targets.set(targetRows(rows, classes), step * batchSize * classes);
    }
    const { losses, logits } = await open.session.step({
      steps,
      batchSize,
      images: images.slice(),
      masks: tensors.get('masks')?.data.slice(),
      targets,
      lr: Float32Array.from(lr),
      headLr: Float32Array.from(headLr),
      momentum,
      weightDecay,
    });
    await write(output, {
      losses: float32Tensor([steps], losses),
      logits: float32Tensor([steps, batchSize, classes], logits),
    });
  },

  /** Trains on a folder of images with the loader and the session; StepLR sets the rate of each epoch. */
  async epochs({ data, epochs, batchSize, seed, settings, output }) {
    const { artifacts, session, classes } = open;
    const dataset = await ImageFolder.open(data);
    const images = nodePlatform.images;
    const options = {
      artifacts,
      images,
      dataset,
      mode: 'train',
      batchSize,
      seed,
      workers: WORKERS,
    };
    const loader = new DataLoader(options);
    const outputs = {};
    const losses = [];
    const step = session.step.bind(session);
    session.step = async (chunk) => {
      const results = await step(chunk);
      losses.push(...results.losses);
      return results;
    };
    try {
      for (let epoch = 0; epoch < epochs; epoch++) {
        const { preprocessing } = artifacts.manifest;
        const batches = recorded(loader.epoch(epoch), preprocessing, outputs);
        await trainLoneEpoch({
          session,
          batches,
          loader,
          stepsPerExecution: stepsPerExecution(batchSize),
          classes,
          settings: { ...settings, lr: stepLr(epoch, settings) },
        });
      }
    } finally {
      await loader.close();
    }
    await write(output, {
      ...outputs,
      losses: float32Tensor([losses.length], Float32Array.from(losses)),
    });
  },

  async evaluate({ artifacts: dir, threads, input, output }) {
    const artifacts = await openArtifacts(dir);
    const tensors = await read(input);
    await withRuntime(threads, async (runtime) => {
      const session = await runtime.loadGraph(artifacts, 'evaluate');
      const feeds = { images: tensors.get('images'), ...weightFeeds(artifacts, tensors) };
      await write(output, await runtime.run(session, feeds, ['logits']));
    });
  },

  async export({ artifacts: dir, input, classes, model }) {
    const artifacts = await openArtifacts(dir);
    await writeFile(model, await buildInferenceModel(artifacts, await read(input), { classes }));
  },

  async run({ model, threads, input, output }) {
    const tensors = await read(input);
    await withRuntime(threads, async (runtime) => {
      const session = await runtime.load(model);
      await write(output, await runtime.run(session, Object.fromEntries(tensors), ['logits']));
    });
  },

  /** Reads images with the loader; in `train` mode also returns the crops and flips that it drew. */
  async preprocess({ artifacts: dir, mode, images, seed, epoch, output }) {
    const artifacts = await openArtifacts(dir);
    const dataset = {
      classes: ['only'],
      length: images.length,
      get: (index) => ({ image: images[index], label: 0 }),
    };
    const options = { artifacts, dataset, mode, batchSize: 1, seed, workers: WORKERS };
    const loader = new DataLoader({ ...options, images: nodePlatform.images });
    const { inputSize, cropScale, cropRatio, flipProbability } = artifacts.manifest.preprocessing;
    const outputs = {};
    try {
      for await (const batch of loader.epoch(epoch, { shuffle: false })) {
        const [index] = batch.indices;
        outputs[`pixels.${index}`] = float32Tensor([3, inputSize, inputSize], batch.images);
        if (mode !== 'train') continue;
        const { width, height } = await decodeImage(images[index]);
        const random = new Philox(seed, STREAM.crop, epoch, index);
        const ranges = { scale: cropScale, ratio: cropRatio };
        const box = randomResizedCropBox(width, height, ranges, random);
        const flip = randomFlip(flipProbability, random);
        const values = [box.top, box.left, box.height, box.width, flip];
        outputs[`crop.${index}`] = int64([5], values);
      }
    } finally {
      await loader.close();
    }
    await write(output, outputs);
  },

  async crops({ artifacts: dir, width, height, draws, seed, output }) {
    const { preprocessing } = (await openArtifacts(dir)).manifest;
    const ranges = { scale: preprocessing.cropScale, ratio: preprocessing.cropRatio };
    const values = [];
    for (let index = 0; index < draws; index++) {
      const random = new Philox(seed, STREAM.crop, 0, index);
      const box = randomResizedCropBox(width, height, ranges, random);
      values.push(box.top, box.left, box.height, box.width);
    }
    await write(output, { boxes: int64([draws, 4], values) });
  },

  /** Finds Chromium and its software Vulkan driver, for rows 7 and 8. */
  async find() {
    const { findChromium, findSwiftShader } = await import('../../dist/test/support/chromium.js');
    return { chromium: findChromium(), swiftShader: findSwiftShader() };
  },

  /** Counts on which provider each operator of one training step ran. */
  async placements({ artifacts: dir, provider }) {
    const { placements } = await import('../../dist/test/parity/placements.js');
    return { placements: await placements(await openArtifacts(dir), provider) };
  },

  async browse({ chromium, model, input, output }) {
    const { runInChromium } = await import('../../dist/test/support/chromium.js');
    const images = (await read(input)).get('input');
    const { logits, ...versions } = await runInChromium(chromium, await readFile(model), images);
    const shape = [images.shape[0], logits.length / images.shape[0]];
    await write(output, { logits: float32Tensor(shape, Float32Array.from(logits)) });
    return versions;
  },

  async initialState({ artifacts: dir, weights, classes, seed, output }) {
    const artifacts = await openArtifacts(dir);
    const { state } = await initialState(artifacts, { weights, classes, seed });
    await write(output, Object.fromEntries(state));
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { kind, ...job } = JSON.parse(line);
  let answer;
  try {
    answer = (await jobs[kind](job)) ?? {};
  } catch (error) {
    answer = { error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
  if (!process.stdout.write(`${JSON.stringify(answer)}\n`)) await once(process.stdout, 'drain');
}
await jobs.close();
