/**
 * Interfaces to the host: what the portable rooms need and JavaScript itself does not have. `platform/node`
 * implements them for Node.js. They are handed down from the entries (`index.ts`, `cli/`, tests), so that no other
 * room knows which host it runs on.
 */

/** One end of a channel of messages, such as a `MessagePort` of Node.js. */
export interface Port {
  /** Sends a message. The buffers in `transfer` move to the other end and cannot be used here afterwards. */
  postMessage(message: unknown, transfer: readonly ArrayBuffer[]): void;
  on(event: 'message', listener: (message: unknown) => void): unknown;
}

/** The end of the channel that a worker thread holds. */
export interface ThreadPort extends Port {
  /** Lets the thread end, after the messages it has sent. */
  close(): void;
}

/** A worker thread, as the thread that started it sees it. A `Worker` of Node.js is one. */
export interface WorkerThread extends Port {
  on(event: 'message', listener: (message: unknown) => void): unknown;
  /** The thread threw an error that nothing caught, or could not be started. It ends afterwards. */
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'exit', listener: (code: number) => void): unknown;
  /** Keeps the process alive as long as the thread lives. This is the state a thread begins in. */
  ref(): void;
  /** Lets the process end although the thread lives. */
  unref(): void;
}

/** ONNX Runtime. */
export interface OrtBackend {
  /** Starts a thread that serves `OrtServer` of session/ort-server.ts. */
  startThread(): WorkerThread;
}

/** Pixels as rows of interleaved R, G, B: `data[(y * width + x) * 3 + channel]`. */
export interface RgbImage {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** Decodes images to the pixels that Pillow's `Image.open(file).convert('RGB')` gives. */
export interface ImageDecoder {
  /**
   * @param image path of an image file, or its encoded bytes.
   * @param name how an error calls the image. Default: its path.
   * @throws DatasetError if the image cannot be read or decoded.
   */
  decode(image: string | Uint8Array, name?: string): Promise<RgbImage>;
}

/** Image decoding, here and in threads of its own. */
export interface ImageBackend extends ImageDecoder {
  /**
   * Starts a thread that serves `ImageServer` of images/image-server.ts.
   *
   * @param setup its `LoaderSetup`.
   */
  startThread(setup: object): WorkerThread;
}

/** The host. */
export interface Platform {
  readonly images: ImageBackend;
  readonly ort: OrtBackend;
}
