/**
 * Counter-based random numbers: every number is a function of its purpose. So a run does not depend on the number of
 * workers, and a resumed run needs no generator state.
 */

const TWO_32 = 2 ** 32;

/** Purposes of random numbers. Streams never share numbers. */
export const STREAM = { shuffle: 0, crop: 1, head: 2, weights: 3, trial: 4, masks: 5 } as const;

/**
 * Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", 2011):
 * ten rounds that turn a 128-bit counter and a 64-bit key into 128 bits, in place.
 *
 * @param counter four uint32, replaced by the result.
 * @param key two uint32.
 */
export function philox4x32(counter: Uint32Array, key: Uint32Array): void {
  let [c0 = 0, c1 = 0, c2 = 0, c3 = 0] = counter;
  let [k0 = 0, k1 = 0] = key;
  for (let round = 0; round < 10; round++) {
    const low0 = Math.imul(0xd2511f53, c0);
    const high0 = multiplyHigh(0xd251, 0x1f53, c0);
    const low1 = Math.imul(0xcd9e8d57, c2);
    const high1 = multiplyHigh(0xcd9e, 0x8d57, c2);
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 = (k0 + 0x9e3779b9) | 0;
    k1 = (k1 + 0xbb67ae85) | 0;
  }
  counter[0] = c0;
  counter[1] = c1;
  counter[2] = c2;
  counter[3] = c3;
}

/** Returns the high 32 bits of (aHigh·2¹⁶ + aLow) · b, from four products below 2⁵³. */
function multiplyHigh(aHigh: number, aLow: number, b: number): number {
  const bHigh = b >>> 16;
  const bLow = b & 0xffff;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = aLow * bHigh + (middle & 0xffff);
  return aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(carry / 0x10000);
}

/** Random numbers of one (seed, stream, epoch, index). Equal arguments give equal numbers. */
export class Philox {
  readonly #key: Uint32Array;
  readonly #counter: Uint32Array;
  readonly #output = new Uint32Array(4);
  #block = 0;
  #used = 4;
  #nextNormal: number | null = null;

  /**
   * @param seed 0 to 2⁵³ - 1.
   * @param stream one of {@link STREAM}.
   * @param epoch 0 to 2³² - 1; default 0.
   * @param index 0 to 2³² - 1, for example of a sample or a tensor; default 0.
   * @throws RangeError if one of them is not an integer in its range.
   */
  constructor(seed: number, stream: number, epoch = 0, index = 0) {
    if (!Number.isSafeInteger(seed) || seed < 0) {
      throw new RangeError(`expected a seed from 0 to 2^53 - 1, got ${seed}`);
    }
    this.#counter = Uint32Array.of(0, index, epoch, stream);
    if (this.#counter[1] !== index || this.#counter[2] !== epoch || this.#counter[3] !== stream) {
      throw new RangeError(
        `expected stream, epoch and index from 0 to 2^32 - 1, got ${stream}, ${epoch}, ${index}`,
      );
    }
    this.#key = Uint32Array.of(seed % TWO_32, Math.floor(seed / TWO_32));
  }

  /** Draws an integer from 0 to 2³² - 1, uniformly. Each (stream, epoch, index) has 2³⁴ of them. */
  nextUint32(): number {
    if (this.#used === 4) {
      this.#output.set(this.#counter);
      this.#output[0] = this.#block++;
      philox4x32(this.#output, this.#key);
      this.#used = 0;
    }
    return this.#output[this.#used++] ?? 0;
  }

  /** Draws a multiple of 2⁻⁵³ in [0, 1), uniformly. */
  uniform(): number {
    const high = this.nextUint32() >>> 5;
    const low = this.nextUint32() >>> 6;
    return (high * 2 ** 26 + low) / 2 ** 53;
  }

  /** Draws from the standard normal distribution by the Box-Muller transform: two uniform draws give two normal ones. */
  normal(): number {
    if (this.#nextNormal !== null) {
      const next = this.#nextNormal;
      this.#nextNormal = null;
      return next;
    }
    // 1 - u is in (0, 1]: its logarithm is finite.
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    const angle = 2 * Math.PI * this.uniform();
    this.#nextNormal = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  /**
   * Draws an integer from 0 to n - 1, uniformly. The first 2³² mod n values are drawn again, because a plain
   * remainder would prefer small numbers.
   *
   * @param n 1 to 2³².
   */
  below(n: number): number {
    if (!Number.isInteger(n) || n < 1 || n > TWO_32) {
      throw new RangeError(`expected n from 1 to 2^32, got ${n}`);
    }
    const rejected = TWO_32 % n;
    let value = this.nextUint32();
    while (value < rejected) value = this.nextUint32();
    return value % n;
  }
}
