/** The tiny network with Dropout before its head: graphs that take masks. */

import { create } from '@bufbuild/protobuf';
import type { MasksSpec } from '../../src/artifacts/manifest.js';
import {
  AttributeProto_AttributeType,
  type GraphProto,
  type NodeProto,
  NodeProtoSchema,
  TensorProto_DataType,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from '../../src/onnx/onnx_pb.js';
import { rebuildTiny } from './rebuilt-artifacts.js';

/** Features that the head takes. */
export const WIDTH = 32;
export const MASKS: MasksSpec = {
  width: WIDTH,
  entries: [{ name: 'dropout', offset: 0, width: WIDTH, p: 0.5, kind: 'dropout', part: 'head' }],
};

/** Writes its artifacts to `folder`; returns the folder. */
export function maskedTiny(folder: string): string {
  return rebuildTiny(folder, {
    edit: (graph, name) => {
      if (!/^(train|trainExtended|trainHead|gradients|gradientsHead)$/.test(name)) return false;
      const scan = graph.node.find(({ opType }) => opType === 'Scan');
      if (scan === undefined) {
        graph.input.push(input('masks', ['N', WIDTH]));
        maskHead(graph, 'masks');
        return true;
      }
      graph.input.push(input('masks', ['K', 'N', WIDTH]));
      scan.input.push('masks');
      for (const attribute of scan.attribute) {
        if (attribute.name === 'num_scan_inputs') attribute.i += 1n;
        if (attribute.type !== AttributeProto_AttributeType.GRAPH || !attribute.g) continue;
        attribute.g.input.push(input('step.masks', ['N', WIDTH]));
        maskHead(attribute.g, 'step.masks');
      }
      return true;
    },
    manifest: { masks: MASKS },
  });
}

/** Multiplies the head's features by the masks, and their gradient likewise. */
function maskHead(graph: GraphProto, masks: string): void {
  const forward = graph.node.find(
    ({ opType, output }) => opType === 'Gemm' && output[0]?.endsWith('logits'),
  );
  const features = forward?.input[0] ?? '';
  const weight = forward?.input[1] ?? '';
  const masked = 'masked features';
  const nodes: NodeProto[] = [];
  for (const node of graph.node) {
    if (node === forward) nodes.push(multiply(features, masks, masked));
    nodes.push(node);
    if (node.opType !== 'Gemm') continue;
    if (node === forward) node.input[0] = masked;
    else if (node.output[0] === `${weight}_grad`) node.input[1] = masked;
    else if (node.input[1] === weight) {
      const [gradient = ''] = node.output;
      node.output[0] = 'gradient of masked features';
      nodes.push(multiply(node.output[0], masks, gradient));
    }
  }
  graph.node = nodes;
}

function multiply(a: string, b: string, product: string): NodeProto {
  return create(NodeProtoSchema, {
    opType: 'Mul',
    input: [a, b],
    output: [product],
    name: product,
  });
}

function input(name: string, sizes: readonly (string | number)[]): ValueInfoProto {
  const dim = sizes.map((size) =>
    create(TensorShapeProto_DimensionSchema, {
      value:
        typeof size === 'string'
          ? { case: 'dimParam', value: size }
          : { case: 'dimValue', value: BigInt(size) },
    }),
  );
  const value = create(TypeProto_TensorSchema, {
    elemType: TensorProto_DataType.FLOAT,
    shape: create(TensorShapeProtoSchema, { dim }),
  });
  return create(ValueInfoProtoSchema, {
    name,
    type: create(TypeProtoSchema, { value: { case: 'tensorType', value } }),
  });
}
