/**
 * Interfaces to the host: what the portable rooms need and JavaScript itself does not have. `platform/node`
 * implements them for Node.js. They are handed down from the entries (`index.ts`, `cli/`, tests), so that no other
 * room knows which host it runs on.
 */

import type * as ort from 'onnxruntime-common';

/** Random access to the bytes of a file, or of memory. */
export interface ByteSource {
  /** Length in bytes. */
  readonly size: number;
  /**
   * Reads `length` bytes from `position` on into a buffer of their own, so that any element type may be
   * viewed at offset 0. Rejects if the range is not inside the source.
   */
  read(position: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
}

/** A file opened for reading. */
export interface OpenFile extends ByteSource {
  close(): Promise<void>;
}

/** Content of a file: text (written as UTF-8), bytes, or chunks written one after the other. */
export type FileContent = string | Uint8Array | readonly Uint8Array[];

/** Files by path. Methods that read reject with {@link FileError}. */
export interface Files {
  /** Reads a whole file. */
  read(file: string): Promise<Uint8Array<ArrayBuffer>>;
  /** Opens a regular file for reads of parts of it; the caller closes it. */
  open(file: string): Promise<OpenFile>;
  exists(file: string): Promise<boolean>;
  /**
   * Replaces a file whole or not at all: whoever reads it, even after a crash, sees the old content or the
   * new. Its folder must exist. Rejects with a UserError if it cannot be written; the old file is intact then.
   */
  write(file: string, content: FileContent): Promise<void>;
}

/** A file that cannot be read. The message says why. */
export class FileError extends Error {
  override readonly name = 'FileError';

  /** @param code the POSIX name of the error, for example `ENOENT` if there is no such file. */
  constructor(
    message: string,
    readonly code: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** A SHA-256 under way. Synchronous, because a checkpoint is hashed between two training steps. */
export interface Hash {
  update(bytes: Uint8Array): void;
  /** Ends the hash and returns it in hexadecimal. */
  digest(): string;
}

/** Position of an entry's data in its zip archive. */
export interface ZipEntry {
  /** Offset in bytes from the start of the archive. */
  readonly position: number;
  readonly bytes: number;
  /** CRC-32 of the data; null if the archive does not tell it. */
  readonly crc32: number | null;
}

/** A zip archive, its directory read. */
export interface ZipArchive {
  readonly names: ReadonlySet<string>;
  /** Finds a stored entry. Rejects if there is none, or it is compressed, encrypted or outside the archive. */
  locate(name: string): Promise<ZipEntry>;
}

/** Zip archives, the container of PyTorch's `.pth` files. */
export interface Zip {
  /** Reads the directory of an archive. */
  open(source: ByteSource): Promise<ZipArchive>;
  /** Computes the CRC-32 of `bytes`, as zip archives store it. */
  crc32(bytes: Uint8Array): number;
}

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

/** The parts of the packages onnxruntime-node and onnxruntime-web that are used. */
export type OrtModule = Pick<typeof ort, 'InferenceSession' | 'Tensor'>;

/** ONNX Runtime. */
export interface OrtBackend {
  /** Starts a thread that serves `OrtServer` of session/ort-server.ts. */
  startThread(): WorkerThread;
  /**
   * Tries to load a graph, in a process of its own: what GPU libraries print there is not shown.
   *
   * @param artifacts artifact folder.
   * @returns the reason why it cannot; null if it can.
   */
  loadProblem(provider: 'cuda' | 'webgpu', artifacts: string): Promise<string | null>;
}

/** Pixels as rows of interleaved R, G, B: `data[(y * width + x) * 3 + channel]`. */
export interface RgbImage {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** Use of the EXIF orientation: `ignore` it, as torchvision does, or `apply` it, as `ImageOps.exif_transpose` of Pillow. */
export type ExifUse = 'ignore' | 'apply';

/** Decodes images to the pixels that Pillow's `Image.open(file).convert('RGB')` gives. */
export interface ImageDecoder {
  /**
   * @param image path of an image file, or its encoded bytes.
   * @param name how an error calls the image. Default: its path.
   * @param exif use of its EXIF orientation. Default: `ignore`.
   * @throws DatasetError if the image cannot be read or decoded.
   */
  decode(image: string | Uint8Array, name?: string, exif?: ExifUse): Promise<RgbImage>;
}

/** Image decoding, here and in threads of its own. */
export interface ImageBackend extends ImageDecoder {
  /**
   * Starts a thread that serves `ImageServer` of images/workers/image-server.ts.
   *
   * @param setup its `LoaderSetup`.
   */
  startThread(setup: object): WorkerThread;
}

/** The host. */
export interface Platform {
  readonly files: Files;
  /** Starts a SHA-256. */
  sha256(): Hash;
  /** Expands gzip'ed bytes. Rejects if they are not gzip, damaged, or of more than 1 GiB. */
  gunzip(bytes: Uint8Array): Promise<Uint8Array<ArrayBuffer>>;
  readonly zip: Zip;
  readonly images: ImageBackend;
  readonly ort: OrtBackend;
}
