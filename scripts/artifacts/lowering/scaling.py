"""onnxruntime-training's Scale operator."""

from __future__ import annotations

import onnx_ir as ir

from scripts.artifacts.graph_builder import GraphBuilder
from scripts.artifacts.lowering.rule import Inputs, Outputs


def scale(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers Scale(X, s): X / s with ``scale_down``, else X s.

    The average pool's gradient divides.
    """
    x, factor = inputs
    if node.attributes.get_int("scale_down", 0):
        return [op.Div(x, factor)]
    return [op.Mul(x, factor)]
