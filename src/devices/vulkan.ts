/** Lists the GPUs that Vulkan sees. ONNX Runtime's WebGPU uses Vulkan on Linux, D3D12 on Windows, Metal on macOS. */

import os from 'node:os';
import { messageOf } from '../common/format.js';
import { runApart } from '../common/node/run-apart.js';

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
  try {
    const { value } = await runApart(new URL('./vulkan-probe.js', import.meta.url), [], TIMEOUT_MS);
    return value as VulkanReport;
  } catch (error) {
    const problem = `asking the Vulkan drivers failed: ${messageOf(error)}`;
    return { loader: VULKAN_LOADERS[process.platform] ?? null, problem, devices: [] };
  }
}

/**
 * Keeps Vulkan's drivers from printing while this process loads them. Set here and not in the worker thread, whose
 * environment is a copy that C does not see.
 *
 * - Without a folder for display servers, as on most servers, libwayland prints an error for each driver.
 * - The WebGPU library examines every driver, and prints that llvmpipe (Mesa's driver without a GPU) lacks a feature.
 *   Vulkan's loader leaves llvmpipe out where there is another device.
 */
export async function quietVulkan(): Promise<void> {
  const { env, platform } = process;
  if (platform !== 'linux') return;
  if (env.XDG_RUNTIME_DIR?.startsWith('/') !== true) env.XDG_RUNTIME_DIR = os.tmpdir();
  const { devices } = await vulkanReport();
  const isLlvmpipe = ({ name }: VulkanDevice): boolean => name.startsWith('llvmpipe');
  if (!devices.some(isLlvmpipe) || devices.every(isLlvmpipe)) return;
  env.VK_LOADER_DRIVERS_DISABLE ??= '*lvp*';
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
