"""Operators that divide or multiply by a number."""

from __future__ import annotations

import onnx_ir as ir

from scripts.artifacts.graph_builder import GraphBuilder
from scripts.artifacts.lowering.rule import Inputs, Outputs


def scale(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers onnxruntime-training's Scale(X, s): X / s with ``scale_down``, else X s.

    The average pool's gradient divides.
    """
    x, factor = inputs
    if node.attributes.get_int("scale_down", 0):
        return [op.Div(x, factor)]
    return [op.Mul(x, factor)]


def mean_grad(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers Mean(dY; count), the gradient of a mean of ``count`` values: dY / count.

    The node's readers broadcast it over these values.
    """
    count = float(node.attributes.get_int("count"))
    return [op.Div(inputs[0], op.beside(count, node.outputs[0]))]
