"""Gradients of what attention is made of: softmax, and a table of position biases."""

from __future__ import annotations

from math import prod

import numpy as np
import onnx_ir as ir

from scripts.artifacts.graph_builder import GraphBuilder, fixed, static_shape
from scripts.artifacts.lowering.rule import Inputs, Outputs


def softmax_grad(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers SoftmaxGrad(dY, Y; axis): dX = Y (dY - sum dY Y), the sum over the axis."""
    d_y, y = inputs
    axis = node.attributes.get_int("axis", -1) % len(static_shape(node.inputs[1]))
    product = op.Mul(d_y, y)
    total = op.ReduceSum(product, op.ints([axis]), keepdims=1)
    return [op.Sub(product, op.Mul(y, total))]


def table_grad(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers TableGrad(dY; index, size, width): the gradient of a Gather by constant indices.

    dT[k] = sum of dY[i] over all i with index[i] = k. As a product with the 0/1 matrix
    S[i, k] = [index[i] = k] it is dT = S^T dY, dY as [len(index), width].
    """
    attributes = node.attributes
    index = np.array(attributes.get_ints("index"))
    size, width = attributes.get_int("size"), attributes.get_int("width")
    reads = (index[:, None] == np.arange(size)).astype(np.float64)
    rows = op.Reshape(inputs[0], op.ints([len(index), width]))
    table = op.Gemm(op.number(reads), rows, transA=1)
    shape = [fixed(d) for d in static_shape(node.outputs[0])]
    if prod(shape) != size * width:
        raise ValueError(f"expected a table of {size} rows of {width}, got {shape}")
    return [op.Reshape(table, op.ints(shape))]
