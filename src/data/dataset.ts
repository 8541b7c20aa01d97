/** Labelled images: the interface that every data set implements. */

/** One labelled image, not decoded. */
export interface Sample {
  /** Path of an image file, or its encoded bytes (JPEG, PNG, WebP, TIFF, GIF, AVIF). */
  readonly image: string | Uint8Array;
  /** Index of its class: 0 to `classes.length - 1`. */
  readonly label: number;
}

/**
 * A data set with a length and an index, like PyTorch's map-style Dataset. `get` runs on the main thread; worker
 * threads decode.
 */
export interface Dataset {
  readonly length: number;
  readonly classes: readonly string[];
  /**
   * Any text that changes when the samples do. With it, a run is not resumed on other samples. Without it, only the
   * number of samples and the classes are compared.
   */
  readonly fingerprint?: string;
  /** Returns the sample `index`, 0 to `length - 1`. Called in any order, and several times at once. */
  get(index: number): Sample | Promise<Sample>;
}

/** One image file of the data folder. */
export interface DataFile {
  /** Path below the data folder, with slashes: `train/CLASS/IMAGE.jpg`. */
  readonly name: string;
  /** SHA-256 of the file's bytes, in hexadecimal. */
  readonly sha256: string;
}

/** An image to classify. */
export interface InputImage {
  /** Name of the image in results and messages. */
  readonly name: string;
  /** Path of an image file, or its encoded bytes. */
  readonly image: string | Uint8Array;
}
