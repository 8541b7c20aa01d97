/** Choosing the execution provider: CUDA first, CPU where there is none. */

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import type { Artifacts } from './artifacts.js';
import type { Device } from './config.js';
import { DeviceError } from './errors.js';
import { Runtime } from './session.js';
import type { Provider } from './session-protocol.js';

const CUDA_INSTALL =
  'install CUDA 12 and cuDNN 9, then the provider: ' +
  'ONNXRUNTIME_NODE_INSTALL=cuda12 npm rebuild onnxruntime-node --ignore-scripts=false';

const ADVICE: Readonly<Record<Exclude<Provider, 'cpu'>, string>> = {
  cuda: CUDA_INSTALL,
  webgpu:
    'install a GPU driver with Vulkan and the Vulkan loader (libvulkan1), or use --device cpu',
};

/** A runtime on the chosen device, and why that one. */
export interface OpenDevice {
  readonly runtime: Runtime;
  readonly reason: string;
}

/**
 * Opens a runtime on `device`.
 *
 * `auto` is CUDA where its provider loads a graph, else the CPU.
 *
 * @param threads CPU threads; 0 leaves the number to the runtime.
 * @throws DeviceError if a device was asked for by name and cannot be used.
 */
export async function openDevice(
  device: Device,
  threads: number,
  artifacts: Artifacts,
): Promise<OpenDevice> {
  if (device === 'cpu') return { runtime: new Runtime('cpu', threads), reason: 'as asked' };
  const provider = device === 'auto' ? 'cuda' : device;
  const tried = await tryProvider(provider, threads, artifacts);
  if (typeof tried !== 'string') {
    return { runtime: tried, reason: device === 'auto' ? 'its provider loads' : 'as asked' };
  }
  if (device === 'auto') {
    return { runtime: new Runtime('cpu', threads), reason: `CUDA cannot be used: ${tried}` };
  }
  throw new DeviceError(
    `expected the ${provider} provider to load, got: ${tried}; ${ADVICE[provider]}`,
  );
}

/** A runtime in which `provider` loaded a graph, or why there is none. */
async function tryProvider(
  provider: Exclude<Provider, 'cpu'>,
  threads: number,
  artifacts: Artifacts,
): Promise<Runtime | string> {
  const missing = provider === 'cuda' ? missingCudaProvider() : null;
  if (missing !== null) return missing;
  const runtime = new Runtime(provider, threads);
  try {
    await runtime.release(await runtime.load(artifacts.graphPath('evaluate')));
    return runtime;
  } catch (error) {
    await runtime.close();
    const message = error instanceof Error ? error.message : String(error);
    // The runtime's messages run over several lines; the last one names the cause.
    return message.trim().split('\n').at(-1) ?? message;
  }
}

/**
 * The CUDA provider is a file beside the runtime's own library; npm does not carry it. Looked for here
 * because the runtime prints an error of its own when it fails to load it.
 */
function missingCudaProvider(): string | null {
  const root = path.dirname(
    createRequire(import.meta.url).resolve('onnxruntime-node/package.json'),
  );
  const folder = path.join(root, 'bin', 'napi-v6', process.platform, process.arch);
  const names: Partial<Record<NodeJS.Platform, [string, string]>> = {
    linux: ['libonnxruntime_providers_shared.so', 'libonnxruntime_providers_cuda.so'],
    win32: ['onnxruntime_providers_shared.dll', 'onnxruntime_providers_cuda.dll'],
  };
  const wanted = names[process.platform];
  if (wanted === undefined) return `there is no CUDA provider for ${process.platform}`;
  const absent = wanted.filter((name) => !existsSync(path.join(folder, name)));
  if (absent.length === 0) return null;
  return `${absent.join(' and ')} not found in the onnxruntime-node package`;
}
