/** Weight files of the tiny network, written for a test and read as `train --weights` reads them. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Artifacts } from '../../src/artifacts/open-artifacts.js';
import { WeightsError } from '../../src/common/errors.js';
import type { Tensor } from '../../src/common/tensor.js';
import { initialState, openArtifacts, readPth } from '../../src/platform/node/defaults.js';
import type { InitialState } from '../../src/weights/initial-weights.js';
import { FIXTURES, TINY } from './paths.js';

export type Tensors = Map<string, Tensor>;

const FOLDER = path.join(FIXTURES, 'weights', path.sep);

/** Returns the path of a file that scripts/fixtures/weights.py wrote. */
export function fixture(name: string): string {
  return FOLDER + name;
}

export class WeightFiles {
  /** @param tiny tensors of the network with three classes, as torch.save wrote them. */
  private constructor(
    readonly folder: string,
    readonly artifacts: Artifacts,
    readonly tiny: Tensors,
  ) {}

  static async open(): Promise<WeightFiles> {
    const folder = await mkdtemp(path.join(tmpdir(), 'weight-files-'));
    return new WeightFiles(folder, await openArtifacts(TINY), await readPth(fixture('tiny.pth')));
  }

  async write(name: string, content: Uint8Array | readonly Uint8Array[]): Promise<string> {
    const file = path.join(this.folder, name);
    await writeFile(file, content instanceof Uint8Array ? content : Buffer.concat(content));
    return file;
  }

  load(weights: string): Promise<InitialState> {
    return initialState(this.artifacts, { weights, classes: 2, seed: 0 });
  }

  /** Returns the message of the refusal, without folders. @throws Error if the file is not refused. */
  async refusalOf(file: string): Promise<string> {
    const found: unknown = await this.load(file).catch((error: unknown) => error);
    if (found instanceof WeightsError) return this.#short(found.message);
    throw new Error(`expected ${file} to be refused`, { cause: found });
  }

  /** Returns the remarks on a file, without folders. */
  async remarksOf(file: string): Promise<string[]> {
    return (await this.load(file)).remarks.map((remark) => this.#short(remark));
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true });
  }

  #short(text: string): string {
    return text.replaceAll(this.folder + path.sep, '').replaceAll(FOLDER, '');
  }
}
