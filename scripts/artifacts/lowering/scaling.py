"""onnxruntime-training's Scale operator."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from scripts.artifacts.graph_builder import GraphBuilder


def scale(
    op: GraphBuilder, node: ir.Node, inputs: Sequence[ir.Value | None]
) -> Sequence[ir.Value | None]:
    """Lowers Scale(X, s): X / s with ``scale_down``, else X s.

    The average pool's gradient divides.
    """
    x, factor = inputs
    if node.attributes.get_int("scale_down", 0):
        return [op.Div(x, factor)]
    return [op.Mul(x, factor)]
