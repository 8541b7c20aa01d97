/**
 * Stores weights in fewer bits. The model turns them back into float32 when it is loaded or run, so every
 * execution provider computes as before; only the rounding of the weights remains.
 */

import { create } from '@bufbuild/protobuf';
import { TrainingError } from '../common/errors.js';
import { roundHalfEven } from '../common/rounding.js';
import { graphOf } from './model-edits.js';
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  type AttributeProto,
  type ModelProto,
  type NodeProto,
  NodeProtoSchema,
  type TensorProto,
  TensorProto_DataType,
  TensorProtoSchema,
} from './onnx_pb.js';

/** `fp16`: weights in half precision. `int8`: weights in 8 bits with one scale per output channel. */
export type Compression = 'fp16' | 'int8';

/**
 * Compresses every weight of two or more dimensions (convolutions, the last layer); biases stay float32.
 *
 * - `fp16`: IEEE half precision, rounded to nearest, and a `Cast`.
 * - `int8`: symmetric, one scale per output channel, which puts the largest weight at ±127, and a
 *   `DequantizeLinear`.
 *
 * @throws TrainingError if a weight is too large for half precision.
 */
export function compressWeights(model: ModelProto, compression: Compression): void {
  const graph = graphOf(model);
  const nodes: NodeProto[] = [];
  const initializers: TensorProto[] = [];
  for (const tensor of graph.initializer) {
    if (
      tensor.dataType !== (TensorProto_DataType.FLOAT as number) ||
      tensor.dims.length < 2 ||
      isConstant(tensor)
    ) {
      initializers.push(tensor);
      continue;
    }
    const compressed = compression === 'fp16' ? toHalf(tensor) : toInt8(tensor);
    initializers.push(...compressed.tensors);
    nodes.push(compressed.node);
  }
  graph.initializer = initializers;
  graph.node = [...nodes, ...graph.node];
}

/** Checks whether a tensor is a constant of the preprocessing (mean, standard deviation), not a weight. */
function isConstant({ name }: TensorProto): boolean {
  return name.startsWith('preprocess/');
}

/** A compressed weight, and the node that turns it back into float32. */
interface Compressed {
  readonly tensors: TensorProto[];
  readonly node: NodeProto;
}

function values({ rawData }: TensorProto): Float32Array {
  return new Float32Array(Uint8Array.from(rawData).buffer);
}

function integer(name: string, i: number): AttributeProto {
  const type = AttributeProto_AttributeType.INT;
  return create(AttributeProtoSchema, { name, type, i: BigInt(i) });
}

function toHalf(tensor: TensorProto): Compressed {
  const halves = Uint16Array.from(values(tensor), (value) => {
    const bits = float16Bits(value);
    if ((bits & 0x7c00) !== 0x7c00) return bits;
    throw new TrainingError(
      `expected weights below 65520 in ${tensor.name}, found ${value}; export without --fp16`,
    );
  });
  const name = `${tensor.name}/float16`;
  const small = create(TensorProtoSchema, {
    name,
    dims: tensor.dims,
    dataType: TensorProto_DataType.FLOAT16,
    rawData: new Uint8Array(halves.buffer),
  });
  const node = create(NodeProtoSchema, {
    name: `${tensor.name}/cast`,
    opType: 'Cast',
    input: [name],
    output: [tensor.name],
    attribute: [integer('to', TensorProto_DataType.FLOAT)],
  });
  return { tensors: [small], node };
}

/** Returns the bits of the nearest IEEE 754 binary16: ties to even, infinity if the value is out of range. */
export function float16Bits(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0] ?? 0;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = Math.abs(value);
  if (!(magnitude < 65520)) return sign | (Number.isNaN(value) ? 0x7e00 : 0x7c00);
  // Neighbouring halves differ by 2^-24 below the smallest normal number, else by 2^-10 of the power of two.
  const exponent = Math.max(-14, ((bits >>> 23) & 0xff) - 127);
  const steps = roundHalfEven(magnitude / 2 ** (exponent - 10));
  // A fraction that rounds up to the next power of two carries into the exponent by this addition.
  return sign | (steps + (exponent + 14) * 1024);
}

function toInt8(tensor: TensorProto): Compressed {
  const data = values(tensor);
  const channels = Number(tensor.dims[0] ?? 1n);
  const length = data.length / channels;
  const scales = new Float32Array(channels);
  const levels = new Int8Array(data.length);
  for (let channel = 0; channel < channels; channel++) {
    const row = data.subarray(channel * length, (channel + 1) * length);
    const largest = row.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const scale = Math.fround(largest / 127) || 1;
    scales[channel] = scale;
    levels.set(
      Int8Array.from(row, (value) => Math.max(-127, Math.min(127, roundHalfEven(value / scale)))),
      channel * length,
    );
  }
  const [small, scale] = [`${tensor.name}/int8`, `${tensor.name}/scale`];
  const tensors = [
    create(TensorProtoSchema, {
      name: small,
      dims: tensor.dims,
      dataType: TensorProto_DataType.INT8,
      rawData: new Uint8Array(levels.buffer),
    }),
    create(TensorProtoSchema, {
      name: scale,
      dims: [BigInt(channels)],
      dataType: TensorProto_DataType.FLOAT,
      rawData: new Uint8Array(scales.buffer),
    }),
  ];
  const node = create(NodeProtoSchema, {
    name: `${tensor.name}/dequantize`,
    opType: 'DequantizeLinear',
    input: [small, scale],
    output: [tensor.name],
    attribute: [integer('axis', 0)],
  });
  return { tensors, node };
}
