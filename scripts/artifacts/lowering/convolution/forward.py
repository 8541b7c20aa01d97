"""The convolution's forward pass."""

from __future__ import annotations

import onnx_ir as ir

from scripts.artifacts.graph_builder import GraphBuilder
from scripts.artifacts.lowering.convolution import winograd
from scripts.artifacts.lowering.convolution.geometry import Convolution
from scripts.artifacts.lowering.rule import Inputs, Outputs


def conv_forward(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers Conv(X, W[, B]) -> Y: to Winograd's algorithm if it saves time, else to itself."""
    x, weight = inputs[:2]
    assert x is not None and weight is not None
    conv = Convolution.of(node, node.inputs[0], node.inputs[1])
    if len(inputs) == 2 and not op.for_gpu and winograd.suits(conv):
        return [winograd.forward(op, conv, x, weight)]
    return op.copy(node, inputs)
