/** The artifact folders below the package's own: those that ship with it, and those that were built there. */

import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { ConfigError } from '../../common/errors.js';
import { PACKAGE_ROOT } from '../../common/node/package-info.js';
import { openArtifacts, type ArtifactPlatform, type Artifacts } from '../open-artifacts.js';

/** The network that is trained unless another is named. */
export const DEFAULT_ARCH = 'resnet18';

const ROOT = path.join(PACKAGE_ROOT, 'artifacts');
/** Folders of networks from timm begin so; their names are `timm/NAME`. */
const TIMM = 'timm-';

/**
 * Lists the networks that can be trained: those that ship with the package, and those that `npm run artifacts` built.
 *
 * @example
 * for (const arch of architectures()) await train({ data: 'images', arch });
 */
export function architectures(): readonly string[] {
  const built = existsSync(ROOT) ? readdirSync(ROOT) : [];
  const folders = built.filter((name) => existsSync(path.join(ROOT, name, 'manifest.json')));
  // A folder NAME-320 holds the network NAME for another input size.
  const networks = new Set(folders.map((name) => name.replace(/-\d+$/, '')));
  const names = [...networks].map((name) =>
    name.startsWith(TIMM) ? `timm/${name.slice(TIMM.length)}` : name,
  );
  return names.sort();
}

/**
 * Returns the folder of the artifacts that ship with the package.
 *
 * @param arch one of {@link architectures}; default `resnet18`.
 * @param inputSize side of the input in pixels; default: the network's own.
 * @example
 * const artifacts = await openArtifacts(bundledArtifacts('resnet50'));
 */
export function bundledArtifacts(arch = DEFAULT_ARCH, inputSize?: number): string {
  const folder = path.join(ROOT, arch.replaceAll('/', '-'));
  const sized = `${folder}-${String(inputSize)}`;
  return inputSize !== undefined && existsSync(sized) ? sized : folder;
}

/** Returns what to do for a network, or an input size, that was not built. */
export function buildAdvice(arch: string, inputSize?: number): string {
  const size = inputSize === undefined ? '' : ` --input-size ${inputSize}`;
  return `npm run artifacts -- --arch ${arch}${size}`;
}

/** The options that choose a network. */
export interface NetworkChoice {
  readonly arch?: string | undefined;
  /** Side of the input in pixels. Default: that of the artifacts. */
  readonly inputSize?: number | undefined;
  /** Artifact folder to use in place of `arch`. */
  readonly artifacts?: string | undefined;
}

/**
 * Opens the artifacts that options choose.
 *
 * @throws ConfigError if the network was not built, or not for that input size; ArtifactError if its folder is damaged.
 */
export async function openNetwork(
  { arch = DEFAULT_ARCH, inputSize, artifacts: dir }: NetworkChoice,
  platform: ArtifactPlatform,
): Promise<Artifacts> {
  if (dir === undefined && !existsSync(bundledArtifacts(arch, inputSize))) {
    throw new ConfigError(
      `expected one of the networks ${architectures().join(', ')}, got ${arch}; build it with "${buildAdvice(arch)}"`,
    );
  }
  const artifacts = await openArtifacts(dir ?? bundledArtifacts(arch, inputSize), platform);
  const found = artifacts.manifest.preprocessing.inputSize;
  if (inputSize === undefined || inputSize === found) return artifacts;
  throw new ConfigError(
    `expected artifacts of ${artifacts.manifest.arch} for inputs of ${inputSize} pixels, found ${found} in ` +
      `${artifacts.dir}; build them with "${buildAdvice(artifacts.manifest.arch, inputSize)}"`,
  );
}
