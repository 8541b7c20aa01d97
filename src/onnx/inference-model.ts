/**
 * Builds the inference model: the artifact's template with BatchNorm folded into the convolutions and the
 * weights inside. Its `metadata_props` tell how to use it:
 *
 * - `classes`: JSON array of class names, in the order of the logits
 * - `preprocessing`: JSON object with `mean`, `std`, `inputSize`, `resizeSize` and the rest of the manifest's
 *   preprocessing (the crops and flips of training in it do not apply)
 * - `arch`: name of the architecture
 * - the caller's own properties
 *
 * Input `input` float32 [N, 3, S, S], output `logits` float32 [N, classes].
 */

import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { Artifacts } from '../artifacts/open-artifacts.js';
import { ArtifactError, WeightsError } from '../common/errors.js';
import {
  type ModelProto,
  ModelProtoSchema,
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProto_DataType,
  TensorProtoSchema,
  type ValueInfoProto,
} from './onnx_pb.js';
import { allFinite, type State, type Tensor } from '../common/tensor.js';
import { floatTensor, foldedWeights, shapeError } from './fold-batch-norm.js';

/** The template's only input that the model keeps; weights take the place of the others. */
const IMAGE_INPUT = 'input';
/** The template's symbolic dimension that the class count replaces. */
const CLASS_DIMENSION = 'C';

export interface ModelMetadata {
  /** Class names, in the order of the logits. */
  readonly classes: readonly string[];
  /** More `metadata_props`, for example the epoch. `arch`, `classes` and `preprocessing` override them. */
  readonly properties?: Readonly<Record<string, string>>;
}

/**
 * Serialises the inference model of a state. Equal arguments give equal bytes.
 *
 * @throws WeightsError if the state lacks a tensor, does not fit the class names or holds values that are not
 *   finite; ArtifactError if the template is not what the manifest says.
 */
export async function buildInferenceModel(
  artifacts: Artifacts,
  state: State,
  { classes, properties = {} }: ModelMetadata,
): Promise<Uint8Array<ArrayBuffer>> {
  const { manifest } = artifacts;
  const file = artifacts.graphPath('inference');
  const model = parseModel(file, await artifacts.readGraph('inference'));
  const graph = model.graph;
  if (graph === undefined) throw templateError(file, 'no graph');
  const weights = foldedWeights(state, manifest.graphs.inference.fold);
  const inputs = graph.input.filter(({ name }) => name !== IMAGE_INPUT);
  if (inputs.length + 1 !== graph.input.length) {
    throw templateError(file, `no input "${IMAGE_INPUT}"`);
  }
  for (const input of inputs) {
    const tensor = weights.get(input.name) ?? floatTensor(state, input.name);
    checkShape(input, tensor, classes.length);
    graph.initializer.push(initializer(input.name, tensor));
  }
  graph.input = graph.input.filter(({ name }) => name === IMAGE_INPUT);
  for (const value of [...graph.output, ...graph.valueInfo]) setClassCount(value, classes.length);
  const all = {
    ...properties,
    arch: manifest.arch,
    classes: JSON.stringify(classes),
    preprocessing: JSON.stringify(manifest.preprocessing),
  };
  model.metadataProps = Object.entries(all).map(([key, value]) =>
    create(StringStringEntryProtoSchema, { key, value }),
  );
  return toBinary(ModelProtoSchema, model);
}

/** Parses an ONNX file. */
export function parseModel(file: string, bytes: Uint8Array): ModelProto {
  try {
    return fromBinary(ModelProtoSchema, bytes);
  } catch (cause) {
    throw templateError(file, 'something that is not ONNX', cause);
  }
}

function templateError(file: string, found: string, cause?: unknown): ArtifactError {
  return new ArtifactError(
    `expected the inference template in ${file}, found ${found}; rebuild it with "npm run artifacts"`,
    { cause },
  );
}

/** Checks that a tensor has the shape that the template declares, and only finite values. */
function checkShape(input: ValueInfoProto, tensor: Tensor, classCount: number): void {
  const { shape } = tensor;
  setClassCount(input, classCount);
  const type = input.type?.value;
  const declared = type?.case === 'tensorType' ? (type.value.shape?.dim ?? []) : [];
  const expected = declared.map(({ value }) =>
    value.case === 'dimValue' ? Number(value.value) : (value.value ?? '?'),
  );
  if (expected.length !== shape.length || expected.some((size, axis) => size !== shape[axis])) {
    throw shapeError(input.name, expected, shape);
  }
  if (!allFinite(tensor)) {
    throw new WeightsError(
      `expected finite values in ${input.name}, found NaN or infinity; use a checkpoint from before training diverged`,
    );
  }
}

function setClassCount(value: ValueInfoProto, classCount: number): void {
  const type = value.type?.value;
  if (type?.case !== 'tensorType') return;
  for (const dimension of type.value.shape?.dim ?? []) {
    if (dimension.value.case === 'dimParam' && dimension.value.value === CLASS_DIMENSION) {
      dimension.value = { case: 'dimValue', value: BigInt(classCount) };
    }
  }
}

function initializer(name: string, { shape, data }: Tensor): TensorProto {
  return create(TensorProtoSchema, {
    name,
    dims: shape.map(BigInt),
    dataType: TensorProto_DataType.FLOAT,
    rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  });
}
