/**
 * The thread that owns ONNX Runtime.
 *
 * `InferenceSession.run` of onnxruntime-node blocks the thread that calls it, for seconds where a call
 * holds several training steps. Here it blocks nobody: progress and signals stay with the main thread.
 * The training state lives here between calls, so that only data goes in and only results come out.
 */

import { parentPort } from 'node:worker_threads';
import * as ort from 'onnxruntime-node';
import type { ByteTensor, FloatTensors, Reply, Request } from './ort-worker-messages.js';
import type { Tensor } from '../common/tensor.js';

const port = parentPort;
if (port === null) throw new Error('session-worker must run as a worker thread');

const sessions = new Map<number, ort.InferenceSession>();
let state: Record<string, ort.Tensor> = {};
/** Those that write a result where they are told to; on WebGPU it would stay unwritten. */
const writers = new WeakSet<ort.InferenceSession>();
/** Memory of the state before, for the one after the next step. */
let spare: Record<string, ort.Tensor> = {};
let created = 0;
/** Seconds of the last step that were spent inside the runtime. */
let stepSeconds = 0;

function toOrt(tensor: Tensor | ByteTensor): ort.Tensor {
  return new ort.Tensor(tensor.dtype, tensor.data, tensor.shape);
}

function fromOrt(tensor: ort.Tensor): Tensor {
  if (tensor.type !== 'float32') throw new Error(`expected a float32 tensor, got ${tensor.type}`);
  return { dtype: 'float32', shape: tensor.dims, data: tensor.data as Float32Array };
}

/** What a request asked for is read by nobody else: it is given away, not copied. */
function buffersOf(value: Reply['value']): ArrayBuffer[] {
  if (typeof value !== 'object') return [];
  return Object.values(value).map((tensor) => tensor.data.buffer as ArrayBuffer);
}

function mapValues<A, B>(record: Record<string, A>, map: (value: A) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(value)]));
}

function session(number: number): ort.InferenceSession {
  const found = sessions.get(number);
  if (found === undefined) throw new Error(`session ${number} is not loaded`);
  return found;
}

async function load(request: Extract<Request, { kind: 'load' }>): Promise<number> {
  const { provider, gpuOutputs } = request;
  const onGpu = Object.fromEntries(gpuOutputs.map((name) => [name, 'gpu-buffer' as const]));
  const options: ort.InferenceSession.SessionOptions = {
    // In its own layout (NHWC) the provider would rearrange shapes on the CPU inside a step.
    executionProviders: [
      provider === 'webgpu' && gpuOutputs.length > 0
        ? { name: provider, preferredLayout: 'NCHW' }
        : provider,
    ],
    ...(gpuOutputs.length > 0 ? { preferredOutputLocation: onGpu } : {}),
    // Errors reach the caller as exceptions; the runtime's own log would print them a second time.
    logSeverityLevel: 4,
    // A pattern of memory is a second arena beside the first one: a fifth more memory, and no faster.
    enableMemPattern: false,
    ...(request.threads > 0 ? { intraOpNumThreads: request.threads } : {}),
  };
  // The binding has an overload for each kind of model.
  const model = request.model;
  const loaded =
    typeof model === 'string'
      ? await ort.InferenceSession.create(model, options)
      : await ort.InferenceSession.create(model, options);
  sessions.set(++created, loaded);
  if (provider === 'cpu') writers.add(loaded);
  return created;
}

/**
 * Runs K training steps, or a part of one, and keeps the new state; returns the outputs that are not state.
 * Tensors that the graph gives no new value for, as those of a frozen backbone, stay as they are.
 */
async function step(request: Extract<Request, { kind: 'step' }>): Promise<FloatTensors> {
  const { feeds, outputPrefix } = request;
  const target = session(request.session);
  const read = Object.entries(state).filter(([name]) => target.inputNames.includes(name));
  const stateName = (output: string): string | null =>
    output.startsWith(outputPrefix) ? output.slice(outputPrefix.length) : null;
  // Where there is memory of an earlier state, the new one is written there.
  const room = writers.has(target) ? spare : {};
  const fetches = Object.fromEntries(
    target.outputNames.map((output) => [output, room[stateName(output) ?? ''] ?? null]),
  );
  const inputs = { ...Object.fromEntries(read), ...mapValues(feeds, toOrt) };
  const began = performance.now();
  const outputs = await target.run(inputs, fetches);
  stepSeconds = (performance.now() - began) / 1000;
  const next: Record<string, ort.Tensor> = {};
  const before: Record<string, ort.Tensor> = {};
  const results: FloatTensors = {};
  for (const [output, tensor] of Object.entries(outputs)) {
    const name = stateName(output);
    if (name === null) {
      results[output] = fromOrt(tensor);
      continue;
    }
    next[name] = fetches[output] ?? tensor;
    const replaced = state[name];
    if (replaced?.location === 'cpu') before[name] = replaced;
  }
  replaceState({ ...state, ...next });
  if (writers.has(target)) spare = { ...spare, ...before };
  return results;
}

/** Frees what a GPU holds of the state before. */
function replaceState(next: Record<string, ort.Tensor>): void {
  const kept = new Set(Object.values(next));
  for (const tensor of Object.values(state)) {
    if (tensor.location === 'gpu-buffer' && !kept.has(tensor)) tensor.dispose();
  }
  state = next;
}

/** A copy. */
async function getState({
  reader,
  left,
}: Extract<Request, { kind: 'getState' }>): Promise<FloatTensors> {
  const wanted = Object.entries(state).filter(([name]) => !left.includes(name));
  if (reader === null) {
    const copies = wanted.map(([name, tensor]) => {
      const { data, ...rest } = fromOrt(tensor);
      return [name, { ...rest, data: data.slice() }];
    });
    return Object.fromEntries(copies) as FloatTensors;
  }
  // Not getData(): of a tensor in the GPU's memory it ends the process.
  const fetches = wanted.map(([name]) => reader.outputPrefix + name);
  const outputs = await session(reader.session).run(state, fetches);
  const named = Object.entries(outputs).map(([name, tensor]) => [
    name.slice(reader.outputPrefix.length),
    fromOrt(tensor),
  ]);
  return Object.fromEntries(named) as FloatTensors;
}

async function run(request: Extract<Request, { kind: 'run' }>): Promise<FloatTensors> {
  const target = session(request.session);
  const fetches = request.fetches ?? target.outputNames;
  return mapValues(await target.run(mapValues(request.feeds, toOrt), fetches), fromOrt);
}

async function handle(request: Request): Promise<FloatTensors | number | undefined> {
  switch (request.kind) {
    case 'load':
      return load(request);
    case 'run':
      return run(request);
    case 'step':
      return step(request);
    case 'setState':
      spare = {};
      replaceState(mapValues(request.tensors, toOrt));
      return undefined;
    case 'getState':
      return getState(request);
    case 'release':
      await session(request.session).release();
      sessions.delete(request.session);
      return undefined;
    case 'close':
      replaceState({});
      for (const loaded of sessions.values()) await loaded.release();
      sessions.clear();
      return undefined;
  }
}

// One request at a time: a release or a new state must not overtake a run.
let queue = Promise.resolve();
port.on('message', ({ id, request }: { id: number; request: Request }) => {
  queue = queue.then(async () => {
    let reply: Reply;
    try {
      const value = await handle(request);
      reply = value === undefined ? { id } : { id, value };
      if (request.kind === 'step') reply = { ...reply, seconds: stepSeconds };
    } catch (error) {
      reply = { id, error: error instanceof Error ? error.message : String(error) };
    }
    port.postMessage(reply, buffersOf(reply.value));
    if (request.kind === 'close') port.close();
  });
});
