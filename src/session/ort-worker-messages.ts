/** Messages between the driver and the thread that owns ONNX Runtime. */

import type { Tensor } from '../common/tensor.js';

/** Execution providers of onnxruntime-node that the driver uses. */
export type Provider = 'cpu' | 'cuda' | 'webgpu';

export type FloatTensors = Record<string, Tensor>;

/** A decoded image, for models that preprocess it themselves. */
export interface ByteTensor {
  readonly dtype: 'uint8';
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

export type Feeds = Readonly<Record<string, Tensor | ByteTensor>>;

export type Request =
  | {
      kind: 'load';
      model: string | Uint8Array;
      provider: Provider;
      threads: number;
      /** Outputs that stay in the GPU's memory (WebGPU only). */
      gpuOutputs: readonly string[];
    }
  | { kind: 'release'; session: number }
  | { kind: 'run'; session: number; feeds: Feeds; fetches: readonly string[] | null }
  | { kind: 'setState'; tensors: FloatTensors }
  | {
      kind: 'getState';
      /** Reads back a state that is in the GPU's memory: gives each input as an output of another name. */
      reader: { session: number; outputPrefix: string } | null;
      /** Names of tensors to leave out. */
      left: readonly string[];
    }
  | {
      kind: 'step';
      session: number;
      feeds: FloatTensors;
      /** Outputs called `<outputPrefix><name>` become the next call's inputs `<name>`. */
      outputPrefix: string;
    }
  | { kind: 'close' };

export interface Reply {
  readonly id: number;
  /** What the request asked for; tensors by name, or the number of a new session. */
  readonly value?: FloatTensors | number;
  readonly error?: string;
  /** Seconds inside the runtime, of a request that steps. */
  readonly seconds?: number;
}
