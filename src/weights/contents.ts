/** Contents of a weight file before its data is read: names, element types and shapes. */

import type { Tensor } from '../common/tensor.js';
import { visible } from '../common/text.js';

/** An entry under a name: a tensor, or an object that is not readable as one. */
export interface FoundTensor {
  /** Element type by PyTorch's name, such as `float16` or `int8`; the class of an object. */
  readonly dtype: string;
  /** Null for an object. */
  readonly shape: readonly number[] | null;
}

/** Tensors of one dictionary of a file. A `.safetensors` file has a single group. */
export interface TensorGroup {
  /** Keys that lead to the dictionary: `['state_dict']`; empty if the file itself is the dictionary. */
  readonly path: readonly string[];
  /** First keys of the other entries along that path, such as `optimizer` and `epoch`. */
  readonly beside: readonly string[];
  readonly tensors: ReadonlyMap<string, FoundTensor>;
  /**
   * Reads tensors. float16, bfloat16 and float64 become float32; int64 stays.
   *
   * @throws FormatProblem if one is damaged or of another type. A {@link parseFile} names the file.
   */
  read(names: Iterable<string>): Promise<Map<string, Tensor>>;
}

const LONGEST_NAME = 80;

/** Returns a name from a file for messages: without characters that a terminal obeys, and not endlessly long. */
export function printable(name: string): string {
  return visible(name.slice(0, LONGEST_NAME)) + (name.length > LONGEST_NAME ? '…' : '');
}
