"""BatchNorm in training mode, forward and backward.

M = N H W is the number of values per channel. Sums run over the axes N, H and W.
Source: Ioffe and Szegedy, Batch Normalization (2015), section 3. The running variance is PyTorch's
(unbiased, M / (M - 1)).
"""

from __future__ import annotations

import onnx_ir as ir

from scripts.artifacts.graph_builder import GraphBuilder, decimal, fixed, static_shape
from scripts.artifacts.lowering.rule import Inputs, Outputs

STAGED_PIXELS = 2000
"""Smallest number of pixels of a map whose sums are taken in stages: 56x56 is, 28x28 is not.

On 56x56 and 112x112, stages take the time of one sum; on 28x28 1.4 times as long, on 7x7 twice.
"""


def _reduced(x: ir.Value | None) -> list[list[int]]:
    """Returns the axes to sum over, in stages.

    ONNX Runtime adds up a sum over all three axes at once in a few float32 numbers, which loses
    digits on large maps: 50,000 values per channel at 112x112 in a batch of 4. Sums over columns,
    then rows, then images add numbers of like size.
    """
    shape = static_shape(x)
    if len(shape) == 4 and fixed(shape[2]) * fixed(shape[3]) >= STAGED_PIXELS:
        return [[3], [2], [0]]
    return [[0, *range(2, len(shape))]]


def _mean(op: GraphBuilder, value: ir.Value | None, x: ir.Value | None) -> ir.Value:
    """Returns the means [C] of ``value``, which has the shape of ``x``.

    A mean of means is the mean, because all rows have equal length.
    """
    for axes in _reduced(x):
        value = op.ReduceMean(value, axes=axes, keepdims=0)
    assert value is not None
    return value


def _sum(op: GraphBuilder, value: ir.Value | None, x: ir.Value | None) -> ir.Value:
    """Returns the sums [C] of ``value``, which has the shape of ``x``."""
    for axes in _reduced(x):
        value = op.ReduceSum(value, op.ints(axes), keepdims=0)
    assert value is not None
    return value


def _per_channel(op: GraphBuilder, vector: ir.Value, x: ir.Value | None) -> ir.Value:
    """Reshapes [C] to [C, 1, 1], to broadcast over [N, C, H, W]."""
    return op.Reshape(vector, op.ints([-1] + [1] * (len(static_shape(x)) - 2)))


def _count(op: GraphBuilder, x: ir.Value | None, channels: int) -> ir.Value:
    """Computes M as a float scalar; N is known only when the graph runs."""
    return op.Div(op.cast(op.Size(x)), op.number(float(channels)))


def batch_norm_forward(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers BatchNormInternal(X, gamma, beta, running_mean, running_var).

    mean = sum X / M, var = sum (X - mean)^2 / M (two passes, which avoid cancellation),
    Y = gamma (X - mean) / sqrt(var + eps) + beta.
    running' = (1 - k) running + k statistic with k = 1 - momentum, var times M / (M - 1).
    Outputs: Y, running_mean', running_var', mean, 1 / sqrt(var + eps).

    Y is computed by the *inference* operator, fed with the batch's statistics. Every provider has
    it as one pass. ``training_mode=1`` raises an error on CUDA and does not exist on WebGPU.
    """
    x, gamma, beta, running_mean, running_var = inputs
    original = node.inputs[0]
    channels = fixed(static_shape(original)[1])
    epsilon = decimal(node.attributes.get_float("epsilon", 1e-5))
    keep = decimal(node.attributes.get_float("momentum", 0.9))

    mean = _mean(op, x, original)
    centred = op.Sub(x, _per_channel(op, mean, original))
    var = _mean(op, op.Mul(centred, centred), original)
    y = op.BatchNormalization(x, gamma, beta, mean, var, epsilon=epsilon)
    inv_std = op.Reciprocal(op.Sqrt(op.Add(var, op.number(epsilon))))

    count = _count(op, x, channels)
    unbiased = op.Mul(var, op.Div(count, op.Sub(count, op.number(1.0))))
    update = op.number(decimal(1.0 - keep))
    new_mean = op.Add(op.Mul(running_mean, op.number(keep)), op.Mul(mean, update))
    new_var = op.Add(op.Mul(running_var, op.number(keep)), op.Mul(unbiased, update))
    return [y, new_mean, new_var, mean, inv_std]


def batch_norm_frozen(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers BatchNormInternal of a network in evaluation mode.

    Y = gamma (X - running_mean) / sqrt(running_var + eps) + beta. The running statistics do not
    change.
    """
    epsilon = decimal(node.attributes.get_float("epsilon", 1e-5))
    y = op.BatchNormalization(*inputs, epsilon=epsilon)
    return [y, inputs[3], inputs[4], *[None] * (len(node.outputs) - 3)]


def batch_norm_grad(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers BatchNormalizationGrad(dY, X, gamma, mean, r) with r = 1 / sqrt(var + eps).

    dbeta = sum dY,  dgamma = r sum dY Z,  dX = a dY + b Z + c  per channel with Z = X - mean,
    a = gamma r,  b = -a r dgamma / M,  c = -a dbeta / M.
    Z is used instead of X, because b X and b mean cancel where a mean is many deviations large.
    The inference operator with mean 0 and variance 1 computes b Z + c in one pass.
    """
    d_y, x, gamma, mean, inv_std = inputs
    assert mean is not None
    original = node.inputs[1]
    channels = fixed(static_shape(original)[1])

    centred = op.Sub(x, _per_channel(op, mean, original))
    d_beta = _sum(op, d_y, original)
    d_gamma = op.Mul(inv_std, _sum(op, op.Mul(d_y, centred), original))

    a = op.Mul(gamma, inv_std)
    a_over_m = op.Div(a, _count(op, x, channels))
    b = op.Neg(op.Mul(a_over_m, op.Mul(inv_std, d_gamma)))
    c = op.Neg(op.Mul(a_over_m, d_beta))
    zeros = op.number([0.0] * channels)
    ones = op.number([1.0] * channels)
    affine = op.BatchNormalization(centred, b, c, zeros, ones, epsilon=0.0)
    d_x = op.Add(op.Mul(d_y, _per_channel(op, a, original)), affine)
    return [d_x, d_gamma, d_beta]
