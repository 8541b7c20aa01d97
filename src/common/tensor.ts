/** Tensors in memory, and the training state that they make up. */

/** A row-major tensor; `shape` is empty for a scalar. */
export interface Tensor {
  readonly dtype: 'float32' | 'int64';
  readonly shape: readonly number[];
  readonly data: Float32Array | BigInt64Array;
}

/** Tensors by name. */
export type FloatTensors = Record<string, Tensor>;

/**
 * Everything that training changes, by torchvision's names: parameters, `momentum.<parameter>`, BatchNorm's running
 * statistics, and its `num_batches_tracked` counters (int64 scalars).
 */
export type State = Map<string, Tensor>;

/** Prefix of a parameter's momentum in the state and in a checkpoint. */
export const MOMENTUM_PREFIX = 'momentum.';

/**
 * Returns the product of the dimensions (1 for a scalar), or null unless every dimension is a non-negative integer
 * and the product is a safe integer.
 */
export function elementCount(shape: readonly number[]): number | null {
  let count = 1;
  for (const dimension of shape) {
    if (!Number.isSafeInteger(dimension) || dimension < 0) return null;
    count *= dimension;
    if (!Number.isSafeInteger(count)) return null;
  }
  return count;
}

/**
 * Makes a float32 tensor.
 *
 * @throws RangeError unless `data` holds one value per element.
 */
export function float32Tensor(shape: readonly number[], data: Float32Array): Tensor {
  if (elementCount(shape) !== data.length) {
    throw new RangeError(`${data.length} values do not fill shape ${formatShape(shape)}`);
  }
  return { dtype: 'float32', shape, data };
}

/** Makes an int64 scalar, such as torchvision's counters. */
export function int64Scalar(value: bigint): Tensor {
  return { dtype: 'int64', shape: [], data: BigInt64Array.of(value) };
}

/** Returns whether a tensor has neither NaN nor infinity: 0 times any other number is 0. */
export function allFinite({ data }: Tensor): boolean {
  if (data instanceof BigInt64Array) return true;
  let sum = 0;
  // Not `every`, which calls a function per number: the state of a ResNet-18 has 22 million numbers.
  for (let i = 0; i < data.length; i++) sum += 0 * (data[i] ?? 0);
  return sum === 0;
}

/** Returns a shape for messages: `[64, 3, 7, 7]`. */
export function formatShape(shape: readonly (number | string)[]): string {
  return `[${shape.join(', ')}]`;
}

/** Returns whether two shapes are equal. */
export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((dimension, axis) => dimension === b[axis]);
}

/** Element types of weight files. Values that are read become float32, or stay int64. */
export type ElementType = 'float16' | 'bfloat16' | 'float32' | 'float64' | 'int64';

export const ELEMENT_BYTES: Readonly<Record<ElementType, number>> = {
  float16: 2,
  bfloat16: 2,
  float32: 4,
  float64: 8,
  int64: 8,
};

/**
 * Reads little-endian elements as float32, or int64 as int64; float64 is rounded to nearest.
 *
 * @param bytes a whole number of elements, at an offset that is aligned for `type`. float32 and int64 are viewed and
 *   not copied. (ONNX Runtime runs on little-endian machines only.)
 */
export function decodeElements(type: ElementType, bytes: Uint8Array): Float32Array | BigInt64Array {
  const count = bytes.byteLength / ELEMENT_BYTES[type];
  switch (type) {
    case 'float32':
      return new Float32Array(bytes.buffer, bytes.byteOffset, count);
    case 'int64':
      return new BigInt64Array(bytes.buffer, bytes.byteOffset, count);
    case 'float64':
      return Float32Array.from(new Float64Array(bytes.buffer, bytes.byteOffset, count));
    case 'bfloat16': {
      // A bfloat16 is the upper half of a float32.
      const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, count);
      const words = new Uint32Array(count);
      for (let i = 0; i < count; i++) words[i] = (halves[i] ?? 0) << 16;
      return new Float32Array(words.buffer);
    }
    case 'float16':
      return Float32Array.from(
        new Uint16Array(bytes.buffer, bytes.byteOffset, count),
        float16ToNumber,
      );
  }
}

/** Returns the value of an IEEE 754 binary16: 1 sign bit, 5 exponent bits (bias 15), 10 fraction bits. */
function float16ToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
