/** Measures how far an exported model's outputs are from those of the evaluation graph, on random images. */

import type { Artifacts } from '../artifacts/open-artifacts.js';
import { Philox, STREAM } from '../common/philox.js';
import { float32Tensor, type FloatTensors, type State, type Tensor } from '../common/tensor.js';
import type { ResolvedExportOptions } from '../config/export-options.js';
import { softmax } from '../metrics/logits.js';
import type { OrtBackend } from '../platform/platform.js';
import { OrtWorker } from '../session/ort-worker.js';
import type { ByteTensor, Feeds } from '../session/ort-worker-messages.js';

/** Form of the model: which input and which output it has. */
export type Form = Pick<ResolvedExportOptions, 'rawImages' | 'probabilities'>;

/** How far a model is from the evaluation graph. */
export interface Deviation {
  /** Largest difference of an output: of a logit, or of a probability if the model gives those. */
  readonly maxDifference: number;
  /** Largest absolute value of a logit of the evaluation graph; NaN or infinite if one of them is. */
  readonly largestLogit: number;
}

/** Parameters and buffers, which the evaluation graph takes as inputs, and the artifacts that it is from. */
export interface MeterSource {
  readonly artifacts: Artifacts;
  readonly state: State;
}

/** Height and width of the images to try a model that preprocesses them itself: upright, and wide. */
function trialSizes(inputSize: number): [number, number][] {
  return [
    [2 * inputSize + 1, inputSize + 40],
    [inputSize - 3, 2 * inputSize],
  ];
}

/** Images without preprocessing that a plain model is tried on, in one batch. */
const TRIAL_IMAGES = 2;

/** Inputs of the model under trial, and the evaluation graph's `images` float32 [N, 3, S, S] that they stand for. */
interface Trial {
  readonly feeds: Feeds;
  readonly images: Tensor;
}

/** The evaluation graph, loaded once for all models that are compared with it. It holds a thread until it is closed. */
export class DeviationMeter {
  readonly #runtime: OrtWorker;
  readonly #source: MeterSource;
  #reference: Promise<number> | null = null;

  constructor(source: MeterSource, ort: OrtBackend) {
    this.#runtime = new OrtWorker(ort, 'cpu');
    this.#source = source;
  }

  /** Runs a model, as it is written to its file, and the evaluation graph on the same random images. */
  async measure(model: Uint8Array, form: Form): Promise<Deviation> {
    const { artifacts, state } = this.#source;
    const runtime = this.#runtime;
    const exported = await runtime.load(model);
    this.#reference ??= runtime.loadGraph(artifacts, 'evaluate');
    const reference = await this.#reference;
    const name = form.probabilities ? 'probabilities' : 'logits';
    let [maxDifference, largestLogit] = [0, 0];
    for (const { feeds, images } of await trials(artifacts, form, runtime)) {
      const found = (await runtime.run(exported, feeds, [name]))[name];
      const { logits } = await runtime.run(reference, evaluationFeeds(artifacts, state, images), [
        'logits',
      ]);
      if (logits === undefined) throw new Error('expected logits of the evaluation graph');
      const wanted = form.probabilities ? probabilitiesOf(logits) : numbers(logits);
      // NaN wins over every number in Math.max.
      maxDifference = Math.max(maxDifference, difference(wanted, numbers(found)));
      largestLogit = Math.max(largestLogit, ...numbers(logits).map(Math.abs));
    }
    await runtime.release(exported);
    return { maxDifference, largestLogit };
  }

  async close(): Promise<void> {
    await this.#runtime.close();
  }
}

async function trials(artifacts: Artifacts, form: Form, runtime: OrtWorker): Promise<Trial[]> {
  const { inputSize } = artifacts.manifest.preprocessing;
  const random = new Philox(0, STREAM.trial);
  if (!form.rawImages) {
    const pixels = Float32Array.from({ length: TRIAL_IMAGES * 3 * inputSize ** 2 }, () =>
      random.normal(),
    );
    const images = float32Tensor([TRIAL_IMAGES, 3, inputSize, inputSize], pixels);
    return [{ feeds: { input: images }, images }];
  }
  const preprocess = await runtime.load(artifacts.preprocessingGraphs.evaluate);
  const made: Trial[] = [];
  for (const [height, width] of trialSizes(inputSize)) {
    const image: ByteTensor = {
      dtype: 'uint8',
      shape: [height, width, 3],
      data: Uint8Array.from({ length: height * width * 3 }, () => random.below(256)),
    };
    const { pixels } = await runtime.run(preprocess, { image }, ['pixels']);
    const images = float32Tensor([1, 3, inputSize, inputSize], numbers(pixels));
    made.push({ feeds: { image }, images });
  }
  return made;
}

function evaluationFeeds({ manifest }: Artifacts, state: State, images: Tensor): FloatTensors {
  const feeds: FloatTensors = { images };
  for (const { name } of [...manifest.parameters, ...manifest.buffers]) {
    const tensor = state.get(name);
    if (tensor !== undefined) feeds[name] = tensor;
  }
  return feeds;
}

function numbers(tensor: Tensor | undefined): Float32Array {
  return tensor?.data as Float32Array;
}

function probabilitiesOf({ data, shape }: Tensor): Float32Array {
  const [rows = 0, classes = 0] = shape;
  const logits = data as Float32Array;
  return Float32Array.from(
    Array.from({ length: rows }, (_, row) => [...softmax(logits, row * classes, classes)]).flat(),
  );
}

function difference(wanted: Float32Array, got: Float32Array): number {
  return Math.max(...wanted.map((value, i) => Math.abs(value - (got[i] ?? NaN))));
}
