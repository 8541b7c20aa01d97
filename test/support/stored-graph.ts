/** Graphs of an artifact folder, read without the library. */

import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';

/** Reads a graph: an ONNX model. @param name file name without its endings, for example `train_extended`. */
export function readStored(folder: string, name: string): Buffer {
  return gunzipSync(readFileSync(path.join(folder, `${name}.onnx.gz`)));
}

/** Writes a graph as `<name>.onnx` into a folder; returns the file's path. */
export function unpackTo(target: string, folder: string, name: string): string {
  const file = path.join(target, `${name}.onnx`);
  writeFileSync(file, readStored(folder, name));
  return file;
}
