/**
 * Finds the files of ONNX Runtime's CUDA provider and the libraries that it needs.
 *
 * The npm package does not contain the provider; `setup-cuda` puts it beside the library of onnxruntime-node. The
 * libraries it needs are installed in the system, or linked to beside it (`setup-cuda --libraries`). Linked libraries
 * are loaded first: the provider then finds them by name, wherever the system would look.
 */

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { loadLibrary } from '../common/node/native-library.js';

export interface Check {
  /** Name of the file, library or device that is needed. */
  readonly name: string;
  /** Reason why it cannot be used; null if it can. */
  readonly problem: string | null;
  /** Its path or version; if it cannot be used, advice. */
  readonly note: string;
}

/** Files of the provider. ONNX Runtime loads the first one, which loads the second. */
export const PROVIDER_FILES = [
  'libonnxruntime_providers_shared.so',
  'libonnxruntime_providers_cuda.so',
] as const;

interface NeededLibrary {
  /** Names of the library; one of them is enough. */
  readonly names: readonly string[];
  /** Package of pip that contains it; null if it comes with the driver. */
  readonly pip: string | null;
}

/**
 * Libraries that the provider of version 1.30.0 needs: those in its dynamic section (`readelf -d`) and those that it
 * opens while it runs, each after the libraries it depends on. cuFFT is left out: it is needed only by operators that
 * these graphs do not have.
 */
export const CUDA_LIBRARIES: readonly NeededLibrary[] = [
  { names: ['libcudart.so.13'], pip: 'nvidia-cuda-runtime' },
  { names: ['libnvrtc.so.13'], pip: 'nvidia-cuda-nvrtc' },
  { names: ['libcublasLt.so.13'], pip: 'nvidia-cublas' },
  { names: ['libcublas.so.13'], pip: 'nvidia-cublas' },
  { names: ['libcurand.so.10'], pip: 'nvidia-curand' },
  { names: ['libcudnn.so.9', 'libcudnn.so'], pip: 'nvidia-cudnn-cu13' },
  { names: ['libcuda.so.1'], pip: null },
];

const RUNTIME_ROOT = path.dirname(
  createRequire(import.meta.url).resolve('onnxruntime-node/package.json'),
);

/** Folder of onnxruntime-node's own library for this platform. */
export function runtimeFolder(): string {
  return path.join(RUNTIME_ROOT, 'bin', 'napi-v6', process.platform, process.arch);
}

/** Version of onnxruntime-node. The provider must have the same one. */
export function runtimeVersion(): string {
  const text = readFileSync(path.join(RUNTIME_ROOT, 'package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/**
 * Returns whether onnxruntime-node supports CUDA on this platform. Its `listSupportedBackends` says the same, but
 * would load ONNX Runtime into the main thread.
 */
export function hasCudaBinding(): boolean {
  return process.platform === 'linux' && process.arch === 'x64';
}

/** Checks the provider's own files. @param folder their place. */
export function providerChecks(folder = runtimeFolder()): Check[] {
  if (!hasCudaBinding()) {
    const where = `${process.platform}/${process.arch}`;
    const problem = `onnxruntime-node for ${where} was built without CUDA`;
    return [{ name: 'CUDA in onnxruntime-node', problem, note: 'try --device webgpu' }];
  }
  return PROVIDER_FILES.map((name) =>
    existsSync(path.join(folder, name))
      ? { name, problem: null, note: folder }
      : { name, problem: 'not found beside onnxruntime-node', note: 'run: npm run setup:cuda' },
  );
}

/** Checks the libraries that the provider needs by loading each. @param folder a folder that may hold links to them. */
export function libraryChecks(folder = runtimeFolder()): Check[] {
  return CUDA_LIBRARIES.map(({ names, pip }) => {
    const problems: string[] = [];
    for (const name of names) {
      const linked = path.join(folder, name);
      const isLinked = existsSync(linked);
      const found = loadLibrary(isLinked ? linked : name);
      if (typeof found !== 'string') {
        return { name, problem: null, note: isLinked ? folder : "the system's own" };
      }
      problems.push(found);
    }
    const note =
      pip === null
        ? 'install the NVIDIA driver (580 or later, for CUDA 13)'
        : `install it with CUDA 13, or from pip: ${pip}`;
    return { name: names.join(' or '), problem: [...new Set(problems)].join('; '), note };
  });
}

/**
 * Loads the libraries that the provider needs, so that they need not be on the system's search path.
 *
 * @returns the missing files or libraries with the reasons, as text; null if none is missing.
 */
export function missingForCuda(): string | null {
  const missing = (checks: readonly Check[]): Check[] =>
    checks.filter(({ problem }) => problem !== null);
  const files = missing(providerChecks());
  const found = files.length > 0 ? files : missing(libraryChecks());
  if (found.length === 0) return null;
  return found.map(({ name, problem }) => `${name} (${problem ?? ''})`).join(', ');
}
