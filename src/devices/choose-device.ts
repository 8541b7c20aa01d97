/** Chooses the execution provider: CUDA, then WebGPU on a real GPU, then the CPU. */

import type { Artifacts } from '../artifacts/open-artifacts.js';
import type { Device } from '../config/train-settings.js';
import { missingForCuda } from './cuda.js';
import { DeviceError } from '../common/errors.js';
import { OrtWorker } from '../session/ort-worker.js';
import type { OrtBackend } from '../platform/platform.js';
import type { Provider } from '../session/ort-worker-messages.js';
import { graphForProvider } from '../session/training-graph.js';
import { quietVulkan, withoutRealGpu } from './vulkan.js';
import { messageOf } from '../common/format.js';

const ADVICE: Readonly<Record<Exclude<Provider, 'cpu'>, string>> = {
  cuda: 'run "npm run setup:cuda" for the provider, and "npm run doctor" for what else is missing',
  webgpu:
    'install a GPU driver with Vulkan and the Vulkan loader (on Debian: libvulkan1), see "npm run doctor", ' +
    'or use --device cpu',
};

/** A runtime on the chosen device, and the reason for the choice. */
export interface OpenDevice {
  readonly runtime: OrtWorker;
  readonly reason: string;
}

/**
 * Opens a runtime on `device`.
 *
 * `auto` takes CUDA if it works, else WebGPU on a real GPU, else the CPU. It never takes a GPU in software, which is
 * slower than the CPU itself.
 *
 * @param threads CPU threads; 0 lets ONNX Runtime choose.
 * @throws DeviceError if a device was asked for by name and cannot be used.
 */
export async function openDevice(
  device: Device,
  threads: number,
  artifacts: Artifacts,
  ort: OrtBackend,
): Promise<OpenDevice> {
  if (device === 'cpu') return { runtime: new OrtWorker(ort, 'cpu', threads), reason: 'as asked' };
  if (device !== 'auto') {
    const lacking = withoutGraph(device, artifacts);
    if (lacking !== null) throw new DeviceError(`${lacking}; use --device cpu`);
    const tried = await tryProvider(device, threads, artifacts, ort);
    if (typeof tried !== 'string') return { runtime: tried, reason: 'as asked' };
    throw new DeviceError(
      `expected the ${device} provider to load, got: ${tried}; ${ADVICE[device]}`,
    );
  }
  const cuda = await tryProvider('cuda', threads, artifacts, ort);
  if (typeof cuda !== 'string') return { runtime: cuda, reason: 'CUDA comes first' };
  const noCuda = `CUDA cannot be used: ${cuda}`;
  const webgpu = (await withoutRealGpu()) ?? (await tryProvider('webgpu', threads, artifacts, ort));
  if (typeof webgpu !== 'string') return { runtime: webgpu, reason: noCuda };
  const reason = `${noCuda}; WebGPU cannot be used: ${webgpu}`;
  return { runtime: new OrtWorker(ort, 'cpu', threads), reason };
}

/**
 * Opens a runtime in which `provider` loaded a graph, or says why it could not. It tries so in a process of its own
 * first: what GPU libraries print there is not shown, and a broken driver ends only that process.
 */
async function tryProvider(
  provider: Exclude<Provider, 'cpu'>,
  threads: number,
  artifacts: Artifacts,
  ort: OrtBackend,
): Promise<OrtWorker | string> {
  // A process is not needed to find that the network has no graph, or that the provider was never installed.
  const missing = provider === 'cuda' ? missingForCuda() : null;
  return (
    withoutGraph(provider, artifacts) ??
    missing ??
    (await ort.loadProblem(provider, artifacts.dir)) ??
    openHere(provider, threads, artifacts, ort)
  );
}

/** Says that a network was built without a training graph for a provider; null if it has one. */
function withoutGraph(provider: Exclude<Provider, 'cpu'>, { manifest }: Artifacts): string | null {
  if (manifest.graphs[graphForProvider(provider, 'train')] !== undefined) return null;
  return `expected a training graph of ${manifest.arch} for ${provider}, found none`;
}

/** Opens a runtime in which `provider` loaded a graph, or says why it could not; in this process. */
export async function openHere(
  provider: Exclude<Provider, 'cpu'>,
  threads: number,
  artifacts: Artifacts,
  ort: OrtBackend,
): Promise<OrtWorker | string> {
  // Find missing libraries first: ONNX Runtime itself says only that it failed to load a shared library.
  const missing = provider === 'cuda' ? missingForCuda() : null;
  if (missing !== null) return missing;
  if (provider === 'webgpu') await quietVulkan();
  const runtime = new OrtWorker(ort, provider, threads);
  try {
    await runtime.release(await runtime.loadGraph(artifacts, 'evaluate'));
    return runtime;
  } catch (error) {
    await runtime.close();
    return cause(messageOf(error));
  }
}

/** Returns the cause from a message of ONNX Runtime, which spreads over several lines and quotes its source code. */
function cause(message: string): string {
  const last = message.trim().split('\n').at(-1) ?? message;
  return /CUDA failure [^;]*[^; ]/.exec(last)?.[0] ?? last.replace(/^.* was false\. /, '');
}
