/** Recognises files of other formats by their first bytes, so that a message can say what a file is. */

import type { ByteSource } from '../platform/platform.js';
import { FormatProblem } from './byte-source.js';

/** Formats by their first bytes, in hexadecimal. */
const BINARY: readonly (readonly [RegExp, string])[] = [
  [/^894844460d0a1a0a/, 'an HDF5 file (Keras)'],
  [/^.{8}54464c33/, 'a TensorFlow Lite model'],
  [/^47475546/, 'a GGUF file'],
  [/^934e554d5059/, 'a NumPy file'],
  [/^1f8b/, 'a file compressed by gzip; unpack it'],
  [/^fd377a585a/, 'a file compressed by xz; unpack it'],
  [/^800[2-5]/, 'a Python pickle that torch.save did not write'],
  // Field 1 (the version) of a protobuf message, and its field 2 to 8.
  [
    /^08[01].(?:12|1a|22|28|32|3a|42)/,
    'an ONNX model (or another protobuf file), which is for inference',
  ],
];

/** Formats by their first characters. */
const TEXT: readonly (readonly [RegExp, string])[] = [
  [
    /^version https:\/\/git-lfs/,
    'a pointer of Git LFS in place of the file; fetch it with "git lfs pull"',
  ],
  [/^\s*<(?:!doctype|html|\?xml)/i, 'a web page (HTML) in place of the file'],
  [/^\s*\{\s*"/, 'JSON text'],
];

/** Start of a safetensors file: the length of a header of less than 4 GB, then `{`. */
const SAFETENSORS = /^.{8}0{8}7b/;

/** Bytes at the start of a file that are enough for every format. */
const START = 64;

/**
 * Tells whether a file that PyTorch did not write begins as a safetensors file.
 *
 * @throws FormatProblem if it is empty, or of a known format that holds no weights for this program.
 */
export async function isSafetensors(source: ByteSource): Promise<boolean> {
  if (source.size === 0) throw new FormatProblem('an empty file');
  const start = await source.read(0, Math.min(source.size, START));
  const hex = Array.from(start, (byte) => byte.toString(16).padStart(2, '0')).join('');
  if (SAFETENSORS.test(hex)) return true;
  const text = new TextDecoder().decode(start);
  const found =
    BINARY.find(([pattern]) => pattern.test(hex)) ?? TEXT.find(([pattern]) => pattern.test(text));
  if (found !== undefined) throw new FormatProblem(found[1]);
  return false;
}
