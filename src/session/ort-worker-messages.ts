/** Messages between an `OrtWorker` and its `OrtServer`. */

import type { FloatTensors, Tensor } from '../common/tensor.js';

/** Execution providers of ONNX Runtime that the package uses. */
export type Provider = 'cpu' | 'cuda' | 'webgpu';

/** A decoded image, for models that preprocess it themselves. */
export interface ByteTensor {
  readonly dtype: 'uint8';
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

/** Inputs of a model, by name. */
export type Feeds = Readonly<Record<string, Tensor | ByteTensor>>;

/** A model that reads state back from GPU memory: it gives each input `name` as output `<outputPrefix>name`. */
export interface StateReader {
  readonly session: number;
  readonly outputPrefix: string;
}

/** One request. Sessions are numbers that `load` answers with. */
export type OrtRequest =
  | {
      kind: 'load';
      /** Bytes of an ONNX file. */
      model: Uint8Array;
      provider: Provider;
      /** CPU threads; 0 leaves the number to the runtime. */
      threads: number;
      /** Outputs that stay in GPU memory (WebGPU only). */
      gpuOutputs: readonly string[];
    }
  | { kind: 'release'; session: number }
  | { kind: 'run'; session: number; feeds: Feeds; fetches: readonly string[] | null }
  | { kind: 'setState'; tensors: FloatTensors }
  | {
      kind: 'getState';
      /** Null for a state in the CPU's memory. */
      reader: StateReader | null;
      /** Names of tensors to leave out. */
      omit: readonly string[];
    }
  | {
      kind: 'step';
      session: number;
      feeds: FloatTensors;
      /** Outputs called `<outputPrefix><name>` become the next call's inputs `<name>`. */
      outputPrefix: string;
    };

/** Answer to a `step`. */
export interface StepAnswer {
  /** Outputs that are not state. */
  readonly outputs: FloatTensors;
  /** Time inside the runtime. */
  readonly seconds: number;
}
