/** Makes damaged and hostile files from good ones, by a seed, and reads them. */

import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { WeightsError } from '../../src/common/errors.js';
import { readPth } from '../../src/platform/node/defaults.js';
import { readSafetensors } from '../../src/platform/node/defaults.js';
import { nonsensePth, nonsenseSafetensors } from './nonsense.js';
import { ROOT } from '../support/paths.js';

const FIXTURES = path.join(ROOT, 'test', 'fixtures', 'weights');

export const READERS = [
  ['.safetensors', readSafetensors, nonsenseSafetensors],
  ['.pth', readPth, nonsensePth],
] as const;

/** Returns a small seeded generator (mulberry32) of numbers in [0, 1). */
export function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Makes one to four changes: sets a byte; removes, doubles or cuts off bytes; or writes extreme numbers. */
export function mutate(original: Uint8Array, random: () => number): Uint8Array {
  let bytes: Uint8Array = Buffer.from(original);
  const below = (limit: number): number => Math.floor(random() * limit);
  for (let changes = 1 + below(4); changes > 0 && bytes.byteLength > 0; changes--) {
    const at = below(bytes.byteLength);
    const length = Math.min(1 + below(16), bytes.byteLength - at);
    const kind = below(8);
    if (kind < 4) bytes[at] = below(256);
    else if (kind === 4) bytes[at] = (bytes[at] ?? 0) ^ (1 << below(8));
    else if (kind === 5) bytes.fill(random() < 0.5 ? 0xff : 0x00, at, at + length);
    else if (kind === 6) {
      const again = random() < 0.5 ? bytes.subarray(at, at + length) : Buffer.alloc(0);
      bytes = Buffer.concat([bytes.subarray(0, at), again, again, bytes.subarray(at + length)]);
    } else bytes = Buffer.from(bytes.subarray(0, at));
  }
  return bytes;
}

type Read = (bytes: Uint8Array) => Promise<unknown>;

export interface Counts {
  read: number;
  refused: number;
}

/**
 * Reads mutated fixtures, one per seed.
 *
 * @returns how many were read and how many refused.
 * @throws Error with the seed if reading ends with an error that is not a WeightsError.
 */
export async function fuzz(
  ending: string,
  read: Read,
  firstSeed: number,
  count: number,
): Promise<Counts> {
  const names = (await readdir(FIXTURES)).filter((name) => name.endsWith(ending));
  // Files without a CRC come up more often, because changes to their pickle reach the unpickler.
  names.push(...names.filter((name) => /legacy|no_crc/.test(name)).flatMap((n) => [n, n, n, n]));
  const originals = await Promise.all(names.map((name) => readFile(path.join(FIXTURES, name))));
  const make = (seed: number): Uint8Array =>
    mutate(originals[seed % originals.length] ?? Buffer.alloc(0), generator(seed));
  return readAll(`of ${ending}`, read, make, firstSeed, count);
}

/** Reads well formed files with nonsensical contents, one per seed. Returns and throws as {@link fuzz}. */
export function fuzzNonsense(
  make: (random: () => number) => Uint8Array,
  read: Read,
  firstSeed: number,
  count: number,
): Promise<Counts> {
  return readAll(make.name, read, (seed) => make(generator(seed)), firstSeed, count);
}

async function readAll(
  what: string,
  read: Read,
  make: (seed: number) => Uint8Array,
  firstSeed: number,
  count: number,
): Promise<Counts> {
  const counts = { read: 0, refused: 0 };
  for (let seed = firstSeed; seed < firstSeed + count; seed++) {
    try {
      await read(make(seed));
      counts.read++;
    } catch (error) {
      if (!(error instanceof WeightsError)) {
        throw new Error(`seed ${seed} ${what} gave an untyped error`, { cause: error });
      }
      counts.refused++;
    }
  }
  return counts;
}
