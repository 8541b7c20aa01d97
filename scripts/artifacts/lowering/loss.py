"""Cross entropy with soft targets.

The third-party graph takes class indices; here the same input carries float rows T [N, C] that
are already weighted and divided by the batch's weight: one-hot / N for the plain mean. Class
weights and label smoothing then need no other graph.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from scripts.artifacts.graph_builder import GraphBuilder


def soft_cross_entropy(
    op: GraphBuilder, node: ir.Node, inputs: Sequence[ir.Value | None]
) -> Sequence[ir.Value | None]:
    """SoftmaxCrossEntropyLoss(z, T): loss = -sum T log p.

    log p = z - max z - log sum exp(z - max z), written out instead of LogSoftmax, which the
    WebGPU provider does not have.
    """
    logits, targets = inputs
    shifted = op.Sub(logits, op.ReduceMax(logits, axes=[1], keepdims=1))
    total = op.ReduceSum(op.Exp(shifted), op.ints([1]), keepdims=1)
    log_p = op.Sub(shifted, op.Log(total))
    loss = op.Neg(op.ReduceSum(op.Mul(targets, log_p), keepdims=0))
    return [loss, log_p][: len(node.outputs)]


def soft_cross_entropy_grad(
    op: GraphBuilder, node: ir.Node, inputs: Sequence[ir.Value | None]
) -> Sequence[ir.Value | None]:
    """SoftmaxCrossEntropyLossGrad(dL, log p, T): dz = dL (p sum_c T - T)."""
    d_loss, log_p, targets = inputs
    weight = op.ReduceSum(targets, op.ints([1]), keepdims=1)
    return [op.Mul(d_loss, op.Sub(op.Mul(op.Exp(log_p), weight), targets))]
