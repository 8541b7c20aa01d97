/** Tensors in memory, and the training state made of them. */

/** Row-major; `shape` is empty for a scalar. */
export interface Tensor {
  readonly dtype: 'float32' | 'int64';
  readonly shape: readonly number[];
  readonly data: Float32Array | BigInt64Array;
}

/** Tensors by name. */
export type FloatTensors = Record<string, Tensor>;

/**
 * Everything training changes, by torchvision's names: parameters, `momentum.<parameter>`, BatchNorm's
 * running statistics, and its `num_batches_tracked` counters (int64 scalars).
 */
export type State = Map<string, Tensor>;

/** Prefix of a parameter's momentum in the state and in a checkpoint. */
export const MOMENTUM_PREFIX = 'momentum.';

/**
 * Product of the dimensions (1 for a scalar), or null unless every dimension is a non-negative integer and the
 * product can be counted exactly.
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

/** A float32 tensor; `data` must hold one value per element. */
export function float32Tensor(shape: readonly number[], data: Float32Array): Tensor {
  if (elementCount(shape) !== data.length) {
    throw new RangeError(`${data.length} values do not fill shape ${formatShape(shape)}`);
  }
  return { dtype: 'float32', shape, data };
}

/** An int64 scalar, as torchvision's counters are. */
export function int64Scalar(value: bigint): Tensor {
  return { dtype: 'int64', shape: [], data: BigInt64Array.of(value) };
}

/** Whether there is neither NaN nor infinity: 0 times a number is 0 otherwise only. */
export function allFinite({ data }: Tensor): boolean {
  if (data instanceof BigInt64Array) return true;
  let sum = 0;
  // Not `every`, which calls a function for each number: the state of a ResNet-18 has 22 million numbers.
  for (let i = 0; i < data.length; i++) sum += 0 * (data[i] ?? 0);
  return sum === 0;
}

/** `[64, 3, 7, 7]`, for messages. */
export function formatShape(shape: readonly (number | string)[]): string {
  return `[${shape.join(', ')}]`;
}

export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((dimension, axis) => dimension === b[axis]);
}

/** The element types weight files hold. What is read becomes float32, or stays int64. */
export type ElementType = 'float16' | 'bfloat16' | 'float32' | 'float64' | 'int64';

export const ELEMENT_BYTES: Readonly<Record<ElementType, number>> = {
  float16: 2,
  bfloat16: 2,
  float32: 4,
  float64: 8,
  int64: 8,
};

/**
 * Little-endian elements of a file as float32, or int64 for int64; float64 is rounded to nearest.
 *
 * @param bytes a whole number of elements, at an offset that `type` may be viewed at; float32 and int64 are
 *   viewed, not copied. (Node.js runs ONNX Runtime on little-endian machines only.)
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
      // bfloat16 is the upper half of a float32.
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

/** Value of an IEEE 754 binary16 bit pattern: 1 sign, 5 exponent (bias 15), 10 fraction bits. */
function float16ToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
