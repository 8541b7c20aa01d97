/** Finds out which requirements of each device this machine meets. */

import os from 'node:os';
import { bundledArtifacts } from '../artifacts/node/bundled-artifacts.js';
import { openArtifacts, type ArtifactPlatform } from '../artifacts/open-artifacts.js';
import {
  libraryChecks,
  providerChecks,
  runtimeFolder,
  runtimeVersion,
  type Check,
} from './cuda.js';
import { openHere } from './choose-device.js';
import type { Platform } from '../platform/platform.js';
import type { Provider } from '../session/ort-worker-messages.js';
import { realGpu, vulkanReport } from './vulkan.js';

export interface DeviceReport {
  readonly device: Provider;
  readonly usable: boolean;
  /** True if the device works, but without a GPU: `auto` does not take it then. */
  readonly software: boolean;
  readonly checks: readonly Check[];
}

export interface Diagnosis {
  /** Version of onnxruntime-node. */
  readonly runtime: string;
  /** Folder of its library. */
  readonly folder: string;
  readonly platform: string;
  readonly devices: readonly DeviceReport[];
  /** Device that `--device auto` takes. */
  readonly auto: Provider;
}

/** The host's parts that loading a graph needs. */
type Host = ArtifactPlatform & Pick<Platform, 'ort'>;

const LOADS = 'a graph loads on it';

/** Checks every device: loads the libraries it needs, and a graph on it. */
export async function diagnose(host: Host): Promise<Diagnosis> {
  const devices = [cpu(), await cuda(host), await webgpu(host)];
  return {
    runtime: runtimeVersion(),
    folder: runtimeFolder(),
    platform: `${process.platform}/${process.arch}, Node ${process.versions.node}`,
    devices,
    auto: autoChoice(devices),
  };
}

/** Returns the device that {@link openDevice} takes: CUDA, then WebGPU on a real GPU, then the CPU. */
export function autoChoice(devices: readonly DeviceReport[]): Provider {
  const fit = (wanted: Provider): boolean =>
    devices.some(({ device, usable, software }) => device === wanted && usable && !software);
  return fit('cuda') ? 'cuda' : fit('webgpu') ? 'webgpu' : 'cpu';
}

function cpu(): DeviceReport {
  const cpus = os.cpus();
  const note = `${os.availableParallelism()} of ${cpus.length} processors, ${cpus[0]?.model ?? ''}`;
  const checks = [{ name: 'onnxruntime-node', problem: null, note: note.trim() }];
  return { device: 'cpu', usable: true, software: false, checks };
}

async function cuda(host: Host): Promise<DeviceReport> {
  const files = providerChecks();
  const isLinuxBuild = files.length > 1;
  const checks = [...files, ...(isLinuxBuild ? libraryChecks() : [])];
  return withGraph({ device: 'cuda', checks, software: false }, 'NVIDIA GPU and driver', host);
}

async function webgpu(host: Host): Promise<DeviceReport> {
  const report = await vulkanReport();
  const needsVulkan = process.platform === 'linux';
  const checks: Check[] = [];
  if (report.loader !== null) {
    const { loader, problem, devices } = report;
    const shown = devices.map(({ name, type }) => `${name} (${type})`).join(', ');
    if (needsVulkan || problem === null) {
      const advice =
        'install the Vulkan loader (on Debian: libvulkan1) and a GPU driver with Vulkan';
      checks.push({ name: loader, problem, note: problem === null ? 'loads' : advice });
    }
    if (problem === null) {
      const none = devices.length === 0;
      const advice = 'install a GPU driver with Vulkan';
      checks.push({
        name: 'Vulkan devices',
        problem: none ? 'none' : null,
        note: none ? advice : shown,
      });
    }
  }
  const software = process.platform !== 'darwin' && realGpu(report) === undefined;
  return withGraph({ device: 'webgpu', checks, software }, 'a GPU driver', host);
}

/** Loads a graph if nothing is missing so far, because only ONNX Runtime can tell whether the device works. */
async function withGraph(
  { device, checks, software }: Omit<DeviceReport, 'usable'> & { device: 'cuda' | 'webgpu' },
  needs: string,
  host: Host,
): Promise<DeviceReport> {
  if (checks.some(({ problem }) => problem !== null)) {
    return { device, usable: false, software, checks };
  }
  const artifacts = await openArtifacts(bundledArtifacts(), host);
  const tried = await openHere(device, 1, artifacts, host.ort);
  if (typeof tried === 'string') {
    const failed = { name: LOADS, problem: tried, note: `needs ${needs}` };
    return { device, usable: false, software, checks: [...checks, failed] };
  }
  await tried.close();
  const note = software
    ? 'in software, slower than the CPU: --device auto does not take it'
    : 'yes';
  return {
    device,
    usable: true,
    software,
    checks: [...checks, { name: LOADS, problem: null, note }],
  };
}
