"""Gradients of activations."""

from __future__ import annotations

import onnx_ir as ir

from scripts.artifacts.graph_builder import GraphBuilder
from scripts.artifacts.lowering.rule import Inputs, Outputs


def relu_grad(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers ReluGrad(dY, Y): dX = dY where Y > 0, else 0, as in PyTorch.

    HardSigmoid(alpha, beta=0) = max(0, min(1, alpha Y)) with a huge alpha computes the mask Y > 0
    in one pass. With alpha = 1e38 the mask is exact for every normal float32.
    """
    d_y, y = inputs
    return [op.Mul(d_y, op.HardSigmoid(y, alpha=1e38, beta=0.0))]
