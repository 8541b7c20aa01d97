"""Both gradients of the convolution: chooses how each is computed."""

from __future__ import annotations

import onnx_ir as ir

from scripts.artifacts.graph_builder import GraphBuilder
from scripts.artifacts.lowering.convolution import depthwise, winograd
from scripts.artifacts.lowering.convolution.geometry import Convolution
from scripts.artifacts.lowering.convolution.input_grad import input_grad
from scripts.artifacts.lowering.convolution.weight_grad import weight_grad
from scripts.artifacts.lowering.rule import Inputs, Outputs


def conv_grad(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers ConvGrad(dY, X, W) -> dX, dW and, for a convolution with bias, dB = sum_{n,p,q} dY."""
    d_y, x, weight = inputs
    assert d_y is not None and x is not None and weight is not None
    conv = Convolution.of(node, node.inputs[1], node.inputs[2])
    wanted = [bool(output.name) for output in node.outputs]
    results: list[ir.Value | None]
    if all(wanted[:2]) and not op.for_gpu and winograd.suits(conv):
        results = list(winograd.gradients(op, conv, d_y, x, weight))
    else:
        results = [
            input_grad(op, conv, d_y, weight) if wanted[0] else None,
            _weight_grad(op, conv, d_y, x) if wanted[1] else None,
        ]
    if len(wanted) == 3:
        results.append(op.ReduceSum(d_y, op.ints([0, 2, 3]), keepdims=0) if wanted[2] else None)
    return results


def _weight_grad(op: GraphBuilder, conv: Convolution, d_y: ir.Value, x: ir.Value) -> ir.Value:
    if depthwise.suits(conv):
        return depthwise.weight_grad(op, conv, d_y, x)
    return weight_grad(op, conv, d_y, x)
