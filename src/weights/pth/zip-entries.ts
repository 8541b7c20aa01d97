/** The entries of a zip archive as `torch.save` writes it: stored, not compressed. */

import { Readable } from 'node:stream';
import * as yauzl from 'yauzl';
import { type ByteSource, FormatProblem } from '../byte-source.js';
import { messageOf } from '../../common/format.js';

/** Signature of the first entry's header. */
const ZIP_MAGIC = 0x04034b50;

/** Where an entry's data is, and its CRC-32; null if PyTorch was told not to compute it, and wrote 0. */
export interface ZipLocation {
  readonly position: number;
  readonly bytes: number;
  readonly crc32: number | null;
}

export interface ZipEntries {
  readonly names: ReadonlySet<string>;
  /** @throws FormatProblem if there is no such entry, or it is compressed, encrypted or outside the file. */
  locate(name: string): Promise<ZipLocation>;
}

export async function isZip(source: ByteSource): Promise<boolean> {
  if (source.size < 4) return false;
  return new DataView((await source.read(0, 4)).buffer).getUint32(0, true) === ZIP_MAGIC;
}

/** Reads the central directory, zip64 included. */
export async function readZipEntries(source: ByteSource): Promise<ZipEntries> {
  const entries = new Map<string, yauzl.Entry>();
  const zip = await asProblem(() =>
    yauzl.fromRandomAccessReaderPromise(new SourceReader(source), source.size, {
      lazyEntries: true,
      autoClose: false,
    }),
  );
  await asProblem(async () => {
    for await (const entry of zip.eachEntry()) {
      if (entries.has(entry.fileName)) {
        throw new FormatProblem(`${JSON.stringify(entry.fileName)} twice in a zip archive`);
      }
      entries.set(entry.fileName, entry);
    }
  });
  return {
    names: new Set(entries.keys()),
    locate: async (name) => {
      const entry = entries.get(name);
      if (entry === undefined) throw new FormatProblem(`no ${JSON.stringify(name)} in its archive`);
      // Only what is stored as it is: so an archive cannot unpack to more than its own size.
      if (entry.compressionMethod !== 0 || entry.isEncrypted()) {
        throw new FormatProblem(`${JSON.stringify(name)} compressed or encrypted in its archive`);
      }
      const { fileDataStart } = await asProblem(() =>
        zip.readLocalFileHeaderPromise(entry, { minimal: true }),
      );
      const bytes = entry.uncompressedSize;
      if (fileDataStart + bytes > source.size) {
        throw new FormatProblem(`${JSON.stringify(name)} outside its archive`);
      }
      return { position: fileDataStart, bytes, crc32: entry.crc32 === 0 ? null : entry.crc32 };
    },
  };
}

/** yauzl throws plain errors for malformed archives. */
async function asProblem<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof FormatProblem) throw error;
    const reason = messageOf(error);
    throw new FormatProblem(`a damaged zip archive (${reason})`, { cause: error });
  }
}

class SourceReader extends yauzl.RandomAccessReader {
  readonly #source: ByteSource;

  constructor(source: ByteSource) {
    super();
    this.#source = source;
  }

  override _readStreamForRange(start: number, end: number): Readable {
    return Readable.from([this.#source.read(start, end - start)]);
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null) => void,
  ): void {
    this.#source.read(position, length).then(
      (bytes) => {
        buffer.set(bytes, offset);
        callback(null);
      },
      (error: unknown) => {
        callback(error instanceof Error ? error : new Error(String(error)));
      },
    );
  }

  override close(callback: (error: Error | null) => void): void {
    callback(null);
  }
}
