"""BatchNorm in training mode on a GPU, forward and backward."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from scripts.artifacts.graph_builder import GraphBuilder, decimal, fixed, static_shape
from scripts.artifacts.lowering.rule import Inputs, Outputs


def batch_norm_forward(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers BatchNormInternal(X, gamma, beta, running_mean, running_var).

    mean = sum X / M, var = sum (X - mean)^2 / M; the inference operator computes Y from them.
    Outputs: Y, mean, var, mean, nothing. The second and third are the batch's statistics instead
    of the running ones, which graphs/gpu.py updates for all layers at once. The last is not
    needed, because the gradient below reads var.
    """
    x, gamma, beta, *_ = inputs
    epsilon = decimal(node.attributes.get_float("epsilon", 1e-5))
    mean = op.ReduceMean(x, axes=[0, 2, 3], keepdims=1)
    centred = op.Sub(x, mean)
    var = op.ReduceMean(op.Mul(centred, centred), axes=[0, 2, 3], keepdims=0)
    mean = op.Reshape(mean, op.ints([-1]))
    y = op.BatchNormalization(x, gamma, beta, mean, var, epsilon=epsilon)
    return [y, mean, var, mean, None]


def batch_norm_grad(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers BatchNormalizationGrad(dY, X, gamma, mean, r) with r = 1 / sqrt(var + eps).

    With E the mean over N, H and W, and xhat = (X - mean) r:
    dbeta = M E[dY],  dgamma = M s,  s = E[dY xhat] = (E[dY X] - mean E[dY]) r,
    dX = gamma r (dY - s xhat - E[dY]).
    The inference operator computes gamma (X - mean) r + beta. Applied to E[dY X] it gives s,
    applied to 1 it gives gamma r, and applied to X it gives s xhat + E[dY]: one node each.
    """
    d_y, x, gamma, mean, _ = inputs
    _, channels, height, width = static_shape(node.inputs[1])
    forward = None if node.inputs[4] is None else node.inputs[4].producer()
    if forward is None or forward.op_type != "BatchNormInternal":
        raise NotImplementedError("expected the statistics of a BatchNormInternal node")
    var = op.lowered(forward.outputs[2])
    epsilon = decimal(forward.attributes.get_float("epsilon", 1e-5))
    zeros = op.number([0.0] * fixed(channels))
    ones = op.number([1.0] * fixed(channels))
    one = op.number(np.ones((1, fixed(channels), 1, 1)))
    pixels = fixed(height) * fixed(width)
    batch_size = op.batch_size
    count = op.memoize(("count", pixels), lambda: op.Mul(batch_size, op.number(float(pixels))))
    mean_d_y = op.ReduceMean(d_y, axes=[0, 2, 3], keepdims=0)
    mean_d_y_x = op.ReduceMean(op.Mul(d_y, x), axes=[0, 2, 3], keepdims=1)
    shift = op.Mul(mean, mean_d_y)
    s = op.BatchNormalization(mean_d_y_x, ones, zeros, shift, var, epsilon=epsilon)
    s = op.Reshape(s, op.ints([-1]))
    slope = op.BatchNormalization(one, gamma, zeros, zeros, var, epsilon=epsilon)
    correction = op.BatchNormalization(x, s, mean_d_y, mean, var, epsilon=epsilon)
    d_x = op.Mul(op.Sub(d_y, correction), slope)
    return [d_x, op.Mul(count, s), op.Mul(count, mean_d_y)]
