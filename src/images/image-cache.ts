/**
 * Decoded pictures that stay in memory from epoch to epoch (`--cache ram`), up to a number of bytes.
 *
 * Each picture is there once: its pixels lie in shared memory that the main thread hands to whichever worker
 * is to crop it. What does not fit is decoded again in every epoch, as without a cache; nothing is thrown
 * out, as an epoch takes every picture once and so none is worth more than another.
 */

/** Pixels as `RgbImage` has them, where every thread can read them. */
export interface SharedImage {
  readonly pixels: SharedArrayBuffer;
  readonly width: number;
  readonly height: number;
}

export class ImageCache {
  readonly #images = new Map<string, SharedImage>();
  #bytes = 0;
  #isFull = false;

  /** @param limit most bytes of pixels to keep: 3 for each pixel. */
  constructor(readonly limit: number) {}

  /** Bytes of pixels it holds. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether a picture did not fit. Then no more are worth the copy. */
  get isFull(): boolean {
    return this.#isFull;
  }

  get(file: string): SharedImage | undefined {
    return this.#images.get(file);
  }

  add(file: string, image: SharedImage): void {
    if (this.#images.has(file)) return;
    if (this.#bytes + image.pixels.byteLength > this.limit) {
      this.#isFull = true;
      return;
    }
    this.#images.set(file, image);
    this.#bytes += image.pixels.byteLength;
  }
}
