/** Which GPUs Vulkan sees. ONNX Runtime's WebGPU provider uses Vulkan on Linux, D3D12 on Windows, Metal on macOS. */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { messageOf } from '../common/format.js';

export interface VulkanDevice {
  readonly name: string;
  /** `software` computes on the processor (SwiftShader, llvmpipe). */
  readonly type: 'other' | 'integrated' | 'discrete' | 'virtual' | 'software';
}

export interface VulkanReport {
  /** File name of the Vulkan loader; null where there is none for the platform. */
  readonly loader: string | null;
  /** Why there are no devices; null if they could be asked for. */
  readonly problem: string | null;
  readonly devices: readonly VulkanDevice[];
}

export const VULKAN_LOADERS: Readonly<Partial<Record<NodeJS.Platform, string>>> = {
  linux: 'libvulkan.so.1',
  win32: 'vulkan-1.dll',
};

/** Drivers may hang; nobody should wait for them. */
const TIMEOUT_MS = 20_000;

/** Asks in a process of its own, see vulkan-probe.ts. */
export async function vulkanReport(): Promise<VulkanReport> {
  const script = fileURLToPath(new URL('./vulkan-probe.js', import.meta.url));
  const options = { timeout: TIMEOUT_MS, env: { ...process.env, NODE_OPTIONS: '' } };
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [script], options);
    return JSON.parse(stdout) as VulkanReport;
  } catch (error) {
    const reason = messageOf(error);
    const problem = `asking the Vulkan drivers failed: ${reason.trim().split('\n').at(-1) ?? ''}`;
    return { loader: VULKAN_LOADERS[process.platform] ?? null, problem, devices: [] };
  }
}

/** Returns the first device that is hardware. */
export function realGpu({ devices }: VulkanReport): VulkanDevice | undefined {
  return devices.find(({ type }) => type !== 'software');
}

/**
 * Why `auto` must not take WebGPU; null if it may.
 *
 * macOS has no software devices in Metal. On Windows, whose D3D12 falls back to software where there is no
 * GPU, the GPU must be one that Vulkan sees, too.
 */
export async function withoutRealGpu(): Promise<string | null> {
  if (process.platform === 'darwin') return null;
  const report = await vulkanReport();
  if (realGpu(report) !== undefined) return null;
  if (report.problem !== null) return `${report.loader ?? 'Vulkan'}: ${report.problem}`;
  const names = report.devices.map(({ name }) => name).join(', ');
  return names === '' ? 'Vulkan has no device' : `Vulkan has only software devices (${names})`;
}
