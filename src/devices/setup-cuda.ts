/** Puts the CUDA provider beside onnxruntime-node: the command `setup-cuda`. */

import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdtemp, readdir, rename, rm, symlink } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { Transform, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import * as yauzl from 'yauzl';
import {
  CUDA_LIBRARIES,
  PROVIDER_FILES,
  hasCudaBinding,
  libraryChecks,
  runtimeFolder,
  runtimeVersion,
  type Check,
} from './cuda.js';
import { DeviceError } from '../common/errors.js';
import { temporaryName } from '../common/node/atomic-file.js';
import { downloadWheel } from '../common/node/pip-download.js';
import { messageOf } from '../common/format.js';

/** Python package of ONNX Runtime with CUDA. Its provider works with the npm library of the same version. */
const PACKAGE = 'onnxruntime-gpu';
/** Python version of the wheel to take. Every wheel holds the provider; a fixed one gives everybody the same file. */
const WHEEL_PYTHON = '3.12';
const WHEEL_PLATFORM = 'manylinux_2_28_x86_64';
/** SHA-256 of the wheel, for known versions. In addition, pip checks every download against the index's hash. */
const WHEEL_SHA256: Readonly<Record<string, string>> = {
  '1.30.0': '6acc0f4b3d5ac5f2984432faa59dd8fcce6775f8b43a7140afa0f322c7a703b1',
};
const FOLDER_IN_WHEEL = 'onnxruntime/capi/';

export interface CudaSetupOptions {
  /** A wheel that was downloaded elsewhere. Default: `pip download`. */
  readonly wheel?: string;
  /** Folder with CUDA libraries, at any depth. Links to them are put beside the provider. */
  readonly libraries?: string;
  /** Folder for the files. Default: the folder of the runtime's own library. */
  readonly folder?: string;
  /** Called with each line of progress. */
  readonly onLine?: (line: string) => void;
}

/**
 * Puts the provider of onnxruntime-node's version in place and links to the libraries of `libraries`.
 *
 * @returns the libraries that the provider needs, and for each whether it loads.
 * @throws DeviceError if this platform has no CUDA, pip is missing or fails, or a file differs from the
 *   hash in the wheel's RECORD.
 */
export async function setupCuda({
  wheel,
  libraries,
  folder = runtimeFolder(),
  onLine = () => undefined,
}: CudaSetupOptions = {}): Promise<Check[]> {
  if (!hasCudaBinding()) {
    throw new DeviceError(
      `expected Linux on x86-64, the one platform whose onnxruntime-node knows CUDA, got ${process.platform} on ` +
        `${process.arch}; use --device webgpu`,
    );
  }
  const work = await mkdtemp(path.join(os.tmpdir(), 'setup-cuda-'));
  try {
    const file = wheel ?? (await download(runtimeVersion(), work, onLine));
    await placeProvider(file, folder);
    onLine(`${PROVIDER_FILES.join(' and ')} are in ${folder}`);
  } finally {
    await rm(work, { recursive: true });
  }
  if (libraries !== undefined) {
    const linked = await linkLibraries(libraries, folder);
    onLine(`${linked} libraries of ${libraries} are linked to in ${folder}`);
  }
  return libraryChecks(folder);
}

/** Downloads the provider's wheel. @returns its path. */
async function download(
  version: string,
  folder: string,
  onLine: (line: string) => void,
): Promise<string> {
  const sha256 = WHEEL_SHA256[version] ?? null;
  const known = sha256 ? `SHA-256 ${sha256}` : 'its hash is the one of the package index';
  onLine(`Downloading ${PACKAGE}==${version} with pip (about 250 MB; ${known})`);
  const target = ['--python-version', WHEEL_PYTHON, '--platform', WHEEL_PLATFORM];
  const error = (message: string): DeviceError => new DeviceError(message);
  return downloadWheel({ name: PACKAGE, version, sha256, target }, { folder, error });
}

/** Copies the provider's files out of the wheel and checks each against the wheel's RECORD. */
async function placeProvider(wheel: string, folder: string): Promise<void> {
  const problem = (found: string): DeviceError =>
    new DeviceError(
      `expected a wheel of ${PACKAGE} ${runtimeVersion()} in ${wheel}, found ${found}; download it again`,
    );
  const zip = await yauzl
    .openPromise(wheel, { lazyEntries: true, autoClose: false })
    .catch((error: unknown) => {
      throw problem(messageOf(error));
    });
  try {
    const entries = new Map<string, yauzl.Entry>();
    for await (const entry of zip.eachEntry()) entries.set(entry.fileName, entry);
    const record = `${PACKAGE.replace('-', '_')}-${runtimeVersion()}.dist-info/RECORD`;
    const open = async (name: string): Promise<Readable> => {
      const entry = entries.get(name);
      if (entry === undefined) throw problem(`no ${name} in it`);
      return zip.openReadStreamPromise(entry);
    };
    const hashes = recordedHashes(await textOf(await open(record)));
    for (const name of PROVIDER_FILES) {
      const recorded = hashes.get(FOLDER_IN_WHEEL + name);
      const temporary = temporaryName(path.join(folder, name));
      try {
        const hash = await copyHashed(await open(FOLDER_IN_WHEEL + name), temporary);
        if (hash !== recorded) {
          throw problem(`${name} with SHA-256 ${hash}, recorded as ${recorded ?? 'nothing'}`);
        }
        await rename(temporary, path.join(folder, name));
      } finally {
        await rm(temporary, { force: true });
      }
    }
  } finally {
    zip.close();
  }
}

/** Reads a wheel's RECORD, whose lines are `path,sha256=BASE64URL,size`. */
function recordedHashes(text: string): Map<string, string> {
  const lines = text.split(/\r?\n/).map((line) => line.split(','));
  return new Map(lines.map(([name = '', hash = '']) => [name, hash.replace(/^sha256=/, '')]));
}

async function textOf(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

async function copyHashed(from: Readable, to: string): Promise<string> {
  const hash = createHash('sha256');
  const hashing = new Transform({
    transform(chunk: Buffer, _, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
  await pipeline(from, hashing, createWriteStream(to, { flags: 'wx' }));
  return hash.digest('base64url');
}

/**
 * Links to the needed libraries and to those that they open beside themselves (libcudnn_graph.so.9, …). cuDNN gets a
 * second link without the version in its name: pip's package lacks it, and the provider asks for it.
 *
 * @returns the number of libraries.
 */
async function linkLibraries(from: string, folder: string): Promise<number> {
  const entries = await readdir(from, { recursive: true, withFileTypes: true }).catch(() => {
    throw new DeviceError(`expected a folder of CUDA libraries in ${from}, found none`);
  });
  const wanted = CUDA_LIBRARIES.filter(({ pip }) => pip !== null).flatMap(({ names }) => names);
  const beginnings = wanted.map((name) => name.slice(0, name.indexOf('.')));
  const links = new Map<string, string>();
  for (const { name, parentPath } of entries) {
    if (!/\.so(\.\d+)*$/.test(name)) continue;
    if (!beginnings.some((beginning) => name.startsWith(beginning))) continue;
    links.set(name, path.resolve(parentPath, name));
  }
  if (links.size === 0) {
    throw new DeviceError(
      `expected CUDA libraries (${wanted.join(', ')}) in ${from}, found none; name the folder they are in`,
    );
  }
  const cudnn = links.get('libcudnn.so.9');
  if (cudnn !== undefined) links.set('libcudnn.so', cudnn);
  for (const [name, file] of links) {
    const link = path.join(folder, name);
    await rm(link, { force: true });
    await symlink(file, link);
  }
  return links.size;
}
