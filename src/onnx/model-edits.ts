/** Other forms of the inference model: decoded images as its input, probabilities as its output. */

import { create } from '@bufbuild/protobuf';
import type { Artifacts } from '../artifacts/open-artifacts.js';
import { ArtifactError } from '../common/errors.js';
import { parseModel } from './inference-model.js';
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  type GraphProto,
  type ModelProto,
  NodeProtoSchema,
  TensorProto_DataType,
  TensorProtoSchema,
  type ValueInfoProto,
} from './onnx_pb.js';

const PREFIX = 'preprocess/';

/**
 * Puts the preprocessing of validation before the network. The input `image` uint8 [H, W, 3], a decoded image
 * of any size, replaces `input`; the batch size is 1.
 *
 * @throws ArtifactError if the preprocessing graph is not as expected.
 */
export async function withRawImages(model: ModelProto, artifacts: Artifacts): Promise<void> {
  const file = artifacts.graphPath('preprocessEvaluate');
  const before = parseModel(file, await artifacts.readGraph('preprocessEvaluate'));
  const graph = graphOf(model);
  const first = graphOf(before);
  const image = first.input.find(({ name }) => name === 'image');
  const pixels = first.output[0]?.name;
  if (image === undefined || pixels === undefined) {
    throw new ArtifactError(
      `expected the input "image" and an output in ${file}, found others; rebuild it with "npm run artifacts"`,
    );
  }
  // Optional inputs that are absent have the empty name, which must stay empty.
  const rename = (name: string): string => (name === '' || name === 'image' ? name : PREFIX + name);
  for (const node of first.node) {
    node.name = PREFIX + node.name;
    node.input = node.input.map(rename);
    node.output = node.output.map(rename);
  }
  for (const tensor of first.initializer) tensor.name = rename(tensor.name);
  const axis = create(TensorProtoSchema, {
    name: `${PREFIX}batch_axis`,
    dims: [1n],
    dataType: TensorProto_DataType.INT64,
    rawData: new Uint8Array(8),
  });
  const batch = create(NodeProtoSchema, {
    name: `${PREFIX}batch`,
    opType: 'Unsqueeze',
    input: [rename(pixels), axis.name],
    output: ['input'],
  });
  graph.node = [...first.node, batch, ...graph.node];
  graph.initializer.push(...first.initializer, axis);
  graph.input = [image];
  // The inferred shapes are those of a batch of any size; runtimes infer them again.
  graph.valueInfo = [];
  for (const output of graph.output) setBatchOfOne(output);
  // Safe, because the network's operators are the same in both opset versions.
  raiseVersion(model, before);
}

/** Appends a softmax to the network: the output `probabilities` [N, C] replaces `logits`. */
export function withProbabilities(model: ModelProto): void {
  const graph = graphOf(model);
  const [output] = graph.output;
  if (output?.name !== 'logits') throw new ArtifactError('expected a model with the output logits');
  const axis = create(AttributeProtoSchema, {
    name: 'axis',
    type: AttributeProto_AttributeType.INT,
    i: -1n,
  });
  const node = create(NodeProtoSchema, {
    name: 'probabilities',
    opType: 'Softmax',
    input: ['logits'],
    output: ['probabilities'],
    attribute: [axis],
  });
  graph.node.push(node);
  output.name = 'probabilities';
}

/** Returns the model's graph. @throws ArtifactError if it has none. */
export function graphOf(model: ModelProto): GraphProto {
  if (model.graph === undefined)
    throw new ArtifactError('expected a graph in the model, found none');
  return model.graph;
}

function setBatchOfOne(value: ValueInfoProto): void {
  const type = value.type?.value;
  const first = type?.case === 'tensorType' ? type.value.shape?.dim[0] : undefined;
  if (first !== undefined) first.value = { case: 'dimValue', value: 1n };
}

/** Raises the model's IR and opset versions to those of `other`. */
function raiseVersion(model: ModelProto, other: ModelProto): void {
  if (other.irVersion > model.irVersion) model.irVersion = other.irVersion;
  for (const { domain, version } of other.opsetImport) {
    const own = model.opsetImport.find((set) => set.domain === domain);
    if (own !== undefined && version > own.version) own.version = version;
  }
}
