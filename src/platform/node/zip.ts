/** Zip archives by yauzl, restricted to what `torch.save` writes: entries that are stored, not compressed. */

import { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import * as yauzl from 'yauzl';
import { messageOf } from '../../common/format.js';
import { FormatProblem } from '../../weights/byte-source.js';
import type { ByteSource, Zip, ZipArchive } from '../platform.js';

/** Reads archives, zip64 included; rejects with FormatProblem for damaged ones. */
export const nodeZip: Zip = { open: openArchive, crc32 };

async function openArchive(source: ByteSource): Promise<ZipArchive> {
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
      // Refuse compressed entries, so that an archive cannot unpack to more than its own size.
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
      // PyTorch writes 0 if it was told not to compute the CRC-32.
      return { position: fileDataStart, bytes, crc32: entry.crc32 === 0 ? null : entry.crc32 };
    },
  };
}

/** Runs `run` and turns the plain errors that yauzl throws for damaged archives into FormatProblem. */
async function asProblem<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof FormatProblem) throw error;
    const reason = messageOf(error);
    throw new FormatProblem(`a damaged zip archive (${reason})`, { cause: error });
  }
}

/** Lets yauzl read from a {@link ByteSource}. */
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
    ...[buffer, offset, length, position, callback]: Parameters<yauzl.RandomAccessReader['read']>
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
