"""Cross entropy with soft targets.

onnxruntime-training's graph takes class indices. Here the same input takes float rows T [N, C] that
are already weighted and divided by the batch's weight (one-hot / N for the plain mean). Class
weights and label smoothing then need no graph of their own.
"""

from __future__ import annotations

import onnx_ir as ir

from scripts.artifacts.graph_builder import GraphBuilder
from scripts.artifacts.lowering.rule import Inputs, Outputs


def soft_cross_entropy(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers SoftmaxCrossEntropyLoss(z, T): loss = -sum T log p.

    log p = z - max z - log sum exp(z - max z). The formula is written out, because the WebGPU
    provider does not have LogSoftmax.
    """
    logits, targets = inputs
    shifted = op.Sub(logits, op.ReduceMax(logits, axes=[1], keepdims=1))
    total = op.ReduceSum(op.Exp(shifted), op.ints([1]), keepdims=1)
    log_p = op.Sub(shifted, op.Log(total))
    loss = op.Neg(op.ReduceSum(op.Mul(targets, log_p), keepdims=0))
    return [loss, log_p][: len(node.outputs)]


def soft_cross_entropy_grad(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers SoftmaxCrossEntropyLossGrad(dL, log p, T): dz = dL (p sum_c T - T)."""
    d_loss, log_p, targets = inputs
    weight = op.ReduceSum(targets, op.ints([1]), keepdims=1)
    return [op.Mul(d_loss, op.Sub(op.Mul(op.Exp(log_p), weight), targets))]
