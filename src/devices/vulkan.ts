/** Lists the GPUs that Vulkan sees. ONNX Runtime's WebGPU uses Vulkan on Linux, D3D12 on Windows, Metal on macOS. */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { messageOf } from '../common/format.js';

export interface VulkanDevice {
  readonly name: string;
  /** Kind of the device; `software` computes on the CPU (SwiftShader, llvmpipe). */
  readonly type: 'other' | 'integrated' | 'discrete' | 'virtual' | 'software';
}

export interface VulkanReport {
  /** File name of the Vulkan loader; null if the platform has none. */
  readonly loader: string | null;
  /** Reason why the devices could not be listed; null if they were. */
  readonly problem: string | null;
  readonly devices: readonly VulkanDevice[];
}

export const VULKAN_LOADERS: Readonly<Partial<Record<NodeJS.Platform, string>>> = {
  linux: 'libvulkan.so.1',
  win32: 'vulkan-1.dll',
};

/** Milliseconds after which the probe is given up, because drivers may hang. */
const TIMEOUT_MS = 20_000;

/** Lists the devices by a process of its own (vulkan-probe.ts). */
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
 * Returns why `auto` must not take WebGPU; null if it may.
 *
 * On macOS it always may: Metal has no devices in software. On Windows, D3D12 falls back to software if there is no
 * GPU, so Vulkan must see a GPU, too.
 */
export async function withoutRealGpu(): Promise<string | null> {
  if (process.platform === 'darwin') return null;
  const report = await vulkanReport();
  if (realGpu(report) !== undefined) return null;
  if (report.problem !== null) return `${report.loader ?? 'Vulkan'}: ${report.problem}`;
  const names = report.devices.map(({ name }) => name).join(', ');
  return names === '' ? 'Vulkan has no device' : `Vulkan has only software devices (${names})`;
}
