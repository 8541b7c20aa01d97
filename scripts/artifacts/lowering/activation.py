"""Gradients of activations."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from scripts.artifacts.graph_builder import GraphBuilder


def relu_grad(
    op: GraphBuilder, node: ir.Node, inputs: Sequence[ir.Value | None]
) -> Sequence[ir.Value | None]:
    """ReluGrad(dY, Y): dX = dY where Y > 0, else 0 (PyTorch's choice at 0 as well).

    HardSigmoid(alpha, beta=0) = max(0, min(1, alpha Y)) with a huge alpha is the mask Y > 0 in one
    fused pass. With alpha = 1e38 it is exact for every normal float32.
    """
    d_y, y = inputs
    return [op.Mul(d_y, op.HardSigmoid(y, alpha=1e38, beta=0.0))]
