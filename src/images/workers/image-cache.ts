/**
 * Decoded images that stay in memory from epoch to epoch (`--cache ram`), up to a number of bytes.
 *
 * Each image is there once: its pixels lie in shared memory that the main thread hands to whichever worker
 * crops it. Images that do not fit are decoded again in every epoch, as without a cache. Nothing is evicted:
 * an epoch takes every image once, so none is worth more than another.
 */

/** Pixels as in `RgbImage`, in memory that every thread can read. */
export interface SharedImage {
  readonly pixels: SharedArrayBuffer;
  readonly width: number;
  readonly height: number;
}

/** Decoded images by file. */
export class ImageCache {
  readonly #images = new Map<string, SharedImage>();
  #bytes = 0;
  #isFull = false;

  /** @param limit largest size of the kept pixels in bytes; a pixel takes 3. */
  constructor(readonly limit: number) {}

  /** Bytes of pixels in the cache. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether an image did not fit. Then it is not worth copying more images. */
  get isFull(): boolean {
    return this.#isFull;
  }

  get(file: string): SharedImage | undefined {
    return this.#images.get(file);
  }

  /** Adds an image if it fits. */
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
