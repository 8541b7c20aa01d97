/**
 * The side of ONNX Runtime that holds sessions and training state.
 *
 * It belongs into a worker thread: `InferenceSession.run` of onnxruntime-node blocks the thread that calls it, for
 * seconds if a call holds several training steps, and progress and signals need the main thread. The training state
 * stays here between calls, so that only data comes in and only results go out.
 */

import type * as ort from 'onnxruntime-common';
import type { FloatTensors, Tensor } from '../common/tensor.js';
import type { Answer, RequestHandler } from '../common/worker-client.js';
import type { OrtModule } from '../platform/platform.js';
import type { ByteTensor, OrtRequest, Provider, StepAnswer } from './ort-worker-messages.js';

type Of<K extends OrtRequest['kind']> = Extract<OrtRequest, { kind: K }>;
type Tensors = Record<string, ort.Tensor>;

/** Carries out the requests of an `OrtWorker`. */
export class OrtServer implements RequestHandler<OrtRequest> {
  readonly #sessions = new Map<number, ort.InferenceSession>();
  /** Sessions that write results into tensors given as outputs. Other sessions would ignore these without an error. */
  readonly #preallocating = new WeakSet<ort.InferenceSession>();
  #state: Tensors = {};
  /** Tensors of an earlier state, into which the next step writes. */
  #recycledBuffers: Tensors = {};
  #created = 0;

  /**
   * @param ort ONNX Runtime of the host.
   * @param fillsOutputs providers whose sessions write results into tensors they are given.
   */
  constructor(
    private readonly ort: OrtModule,
    private readonly fillsOutputs: readonly Provider[],
  ) {}

  async handle(request: OrtRequest): Promise<Answer> {
    switch (request.kind) {
      case 'load':
        return { value: await this.#load(request) };
      case 'run':
        return given(await this.#run(request));
      case 'step': {
        const value = await this.#step(request);
        return { ...given(value.outputs), value };
      }
      case 'setState':
        this.#recycledBuffers = {};
        this.#replaceState(mapValues(request.tensors, (tensor) => this.#toOrt(tensor)));
        return { value: null };
      case 'getState':
        return given(await this.#getState(request));
      case 'release':
        await this.#session(request.session).release();
        this.#sessions.delete(request.session);
        return { value: null };
    }
  }

  /** Frees the state and all sessions. */
  async close(): Promise<void> {
    this.#replaceState({});
    for (const session of this.#sessions.values()) await session.release();
    this.#sessions.clear();
  }

  #session(number: number): ort.InferenceSession {
    const found = this.#sessions.get(number);
    if (found === undefined) throw new Error(`session ${number} is not loaded`);
    return found;
  }

  #toOrt(tensor: Tensor | ByteTensor): ort.Tensor {
    return new this.ort.Tensor(tensor.dtype, tensor.data, tensor.shape);
  }

  async #load({ model, provider, threads, gpuOutputs }: Of<'load'>): Promise<number> {
    const onGpu = Object.fromEntries(gpuOutputs.map((name) => [name, 'gpu-buffer' as const]));
    const options: ort.InferenceSession.SessionOptions = {
      // With its own layout (NHWC) the WebGPU provider would rearrange shapes on the CPU inside a step.
      executionProviders: [
        provider === 'webgpu' && gpuOutputs.length > 0
          ? { name: provider, preferredLayout: 'NCHW' }
          : provider,
      ],
      ...(gpuOutputs.length > 0 ? { preferredOutputLocation: onGpu } : {}),
      // Errors reach the caller as exceptions; the runtime's own log would print them a second time.
      logSeverityLevel: 4,
      // A memory pattern is a second arena beside the first: it takes a fifth more memory and is no faster.
      enableMemPattern: false,
      ...(threads > 0 ? { intraOpNumThreads: threads } : {}),
    };
    const session = await this.ort.InferenceSession.create(model, options);
    this.#sessions.set(++this.#created, session);
    if (this.fillsOutputs.includes(provider)) this.#preallocating.add(session);
    return this.#created;
  }

  /**
   * Runs K training steps, or a part of one, and keeps the new state. The answer holds the outputs that are not
   * state. Tensors that the graph has no output for, such as those of a frozen backbone, stay as they are.
   */
  async #step({ session, feeds, outputPrefix }: Of<'step'>): Promise<StepAnswer> {
    const target = this.#session(session);
    const read = Object.entries(this.#state).filter(([name]) => target.inputNames.includes(name));
    const stateName = (output: string): string | null =>
      output.startsWith(outputPrefix) ? output.slice(outputPrefix.length) : null;
    const outputBuffers = this.#preallocating.has(target) ? this.#recycledBuffers : {};
    const fetches = Object.fromEntries(
      target.outputNames.map((output) => [output, outputBuffers[stateName(output) ?? ''] ?? null]),
    );
    const inputs = {
      ...Object.fromEntries(read),
      ...mapValues(feeds, (feed) => this.#toOrt(feed)),
    };
    const began = performance.now();
    const fetched = await target.run(inputs, fetches);
    const seconds = (performance.now() - began) / 1000;
    const next: Tensors = {};
    const replaced: Tensors = {};
    const outputs: FloatTensors = {};
    for (const [output, tensor] of Object.entries(fetched)) {
      const name = stateName(output);
      if (name === null) {
        outputs[output] = fromOrt(tensor);
        continue;
      }
      next[name] = fetches[output] ?? tensor;
      const before = this.#state[name];
      if (before?.location === 'cpu') replaced[name] = before;
    }
    this.#replaceState({ ...this.#state, ...next });
    if (this.#preallocating.has(target)) {
      this.#recycledBuffers = { ...this.#recycledBuffers, ...replaced };
    }
    return { outputs, seconds };
  }

  /** Sets the state, and frees GPU memory of the one before. */
  #replaceState(next: Tensors): void {
    const kept = new Set(Object.values(next));
    for (const tensor of Object.values(this.#state)) {
      if (tensor.location === 'gpu-buffer' && !kept.has(tensor)) tensor.dispose();
    }
    this.#state = next;
  }

  /** Returns a copy of the state. */
  async #getState({ reader, omit }: Of<'getState'>): Promise<FloatTensors> {
    const wanted = Object.entries(this.#state).filter(([name]) => !omit.includes(name));
    if (reader === null) {
      const copies = wanted.map(([name, tensor]): [string, Tensor] => {
        const { data, ...rest } = fromOrt(tensor);
        return [name, { ...rest, data: data.slice() }];
      });
      return Object.fromEntries(copies);
    }
    // Not Tensor.getData(): for a tensor in GPU memory it ends the process.
    const fetches = wanted.map(([name]) => reader.outputPrefix + name);
    const outputs = await this.#session(reader.session).run(this.#state, fetches);
    const named = Object.entries(outputs).map(([name, tensor]): [string, Tensor] => [
      name.slice(reader.outputPrefix.length),
      fromOrt(tensor),
    ]);
    return Object.fromEntries(named);
  }

  async #run({ session, feeds, fetches }: Of<'run'>): Promise<FloatTensors> {
    const target = this.#session(session);
    const inputs = mapValues(feeds, (feed) => this.#toOrt(feed));
    return mapValues(await target.run(inputs, fetches ?? target.outputNames), fromOrt);
  }
}

function fromOrt(tensor: ort.Tensor): Tensor {
  if (tensor.type !== 'float32') throw new Error(`expected a float32 tensor, got ${tensor.type}`);
  return { dtype: 'float32', shape: tensor.dims, data: tensor.data as Float32Array };
}

/** Gives tensors to the caller. Nobody here reads them again, so they need not be copied. */
function given(tensors: FloatTensors): Answer {
  const buffers = Object.values(tensors).map(({ data }) => data.buffer as ArrayBuffer);
  return { value: tensors, transfer: buffers };
}

function mapValues<A, B>(
  record: Readonly<Record<string, A>>,
  map: (value: A) => B,
): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(value)]));
}
