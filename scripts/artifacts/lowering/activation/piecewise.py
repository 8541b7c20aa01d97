"""Activations that are made of pieces: ReLU, Clip (ReLU6), LeakyReLU, PReLU, ELU, HardSwish.

A piece is chosen by a mask of zeros and ones. HardSigmoid(v; alpha, beta) = max(0, min(1, alpha v +
beta)) with a huge alpha computes such a mask in one pass. The bool operators of ONNX Runtime's CPU
provider take three times as long. At a kink, every gradient is PyTorch's.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import onnx_ir as ir

from scripts.artifacts.graph_builder import GraphBuilder, constant, decimal, static_shape
from scripts.artifacts.lowering.rule import Inputs, Outputs

HUGE = 2.0**120
"""Slope of masks whose threshold is not 0: a power of two, so that HUGE t is exact."""

LARGEST_DENOMINATOR = 1000


def positive(op: GraphBuilder, v: ir.Value | None) -> ir.Value:
    """Returns 1 where v > 0, else 0. With alpha = 1e38 it is exact for every normal float32."""
    return op.HardSigmoid(v, alpha=1e38, beta=0.0)


def relu_grad(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers ReluGrad(dY, Y): dX = dY where Y > 0, else 0, as in PyTorch."""
    d_y, y = inputs
    return [op.Mul(d_y, positive(op, y))]


def clip_grad(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers ClipGrad(dY, Y, min, max): dX = dY where min < Y < max, else 0.

    (Y - min) (max - Y) is positive between the ends and 0 at both, which takes one mask for two
    ends. At the ends the gradient is 0, as that of torch.nn.ReLU6 and Hardtanh.
    """
    d_y, y = inputs[:2]
    original = node.inputs[1]
    low, high = (_bound(node, place) for place in (2, 3))
    if low is None and high is None:
        return [d_y]
    inside = y if low in (None, 0.0) else op.Sub(y, op.beside(low, original))
    if high is not None:
        below = op.Sub(op.beside(high, original), y)
        inside = below if low is None else op.Mul(inside, below)
    return [op.Mul(d_y, positive(op, inside))]


def _bound(node: ir.Node, place: int) -> float | None:
    """Returns a constant input as a number; None if the node does not have it."""
    value = node.inputs[place] if place < len(node.inputs) else None
    return None if value is None else float(constant(value))


def leaky_relu_grad(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers LeakyReluGrad(dY, X; alpha): dX = dY (alpha + (1 - alpha) [X > 0])."""
    d_y, x = inputs
    original = node.inputs[1]
    alpha = decimal(node.attributes.get_float("alpha", 0.01))
    rest = op.Mul(positive(op, x), op.beside(1.0 - alpha, original))
    return [op.Mul(d_y, op.Add(rest, op.beside(alpha, original)))]


def prelu_grad(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers PReluGrad(dY, X, a) -> dX, da with a slope a per channel, or one for all.

    dX = dY ([X > 0] + a [X <= 0]),  da = sum dY min(X, 0) over all that share a slope.
    """
    d_y, x, slope = inputs
    original = node.inputs[1]
    rank, slope_shape = len(static_shape(original)), static_shape(node.inputs[2])
    above = positive(op, x)
    slopes = op.Mul(slope, op.Sub(op.beside(1.0, original), above))
    d_x = op.Mul(d_y, op.Add(above, slopes))
    missing = rank - len(slope_shape)
    shared = [*range(missing), *(missing + k for k, size in enumerate(slope_shape) if size == 1)]
    terms = op.Mul(d_y, op.Min(x, op.beside(0.0, original)))
    d_slope = op.ReduceSum(terms, op.ints(shared), keepdims=0)
    sizes = [-1 if size is None else size for size in slope_shape]
    return [d_x, op.Reshape(d_slope, op.ints(sizes))]


def elu_grad(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers EluGrad(dY, X; alpha): dX = dY where X > 0, else dY alpha exp(X).

    Source: Clevert et al., Exponential Linear Units (2016), equation 15.
    """
    d_y, x = inputs
    original = node.inputs[1]
    alpha = decimal(node.attributes.get_float("alpha", 1.0))
    curve = op.Mul(op.Exp(x), op.beside(alpha, original))
    above = op.Greater(x, op.beside(0.0, original))
    return [op.Mul(d_y, op.Where(above, op.beside(1.0, original), curve))]


def hard_sigmoid(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers HardSigmoid(X; alpha, beta): Y = max(0, min(1, alpha X + beta))."""
    return [_hard_sigmoid(op, inputs[0], node.inputs[0], _line(node))]


def hard_sigmoid_grad(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers HardSigmoidGrad(dY, Y; alpha): dX = alpha dY where 0 < Y < 1, else 0.

    alpha is the float32 attribute as it is: PyTorch's gradient has float32's 1/6 in float64, too,
    although its forward pass divides by 6.
    """
    d_y, y = inputs
    original = node.inputs[1]
    alpha = node.attributes.get_float("alpha", 0.2)
    inside = positive(op, op.Mul(y, op.Sub(op.beside(1.0, original), y)))
    return [op.Mul(op.Mul(d_y, op.beside(alpha, original)), inside)]


def hard_swish(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers HardSwish(X): Y = X s with s = HardSigmoid(X; 1/6, 1/2).

    Source: Howard et al., Searching for MobileNetV3 (2019), section 5.2.
    """
    (x,) = inputs
    return [op.Mul(x, _swish_gate(op, x, node.inputs[0]))]


def hard_swish_grad(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers HardSwishGrad(dY, X): dX = dY (s + (s - 1/2) [|X| < 3]).

    Between -3 and 3, s = X / 6 + 1/2, so the slope of X s is X / 3 + 1/2 = s + (s - 1/2). At the
    ends it is 0 and 1, as PyTorch's.
    """
    d_y, x = inputs
    original = node.inputs[1]
    s = _swish_gate(op, x, original)
    inside = op.HardSigmoid(op.Abs(x), alpha=-HUGE, beta=3 * HUGE)
    bend = op.Mul(op.Sub(s, op.beside(0.5, original)), inside)
    return [op.Mul(d_y, op.Add(s, bend))]


def _swish_gate(op: GraphBuilder, x: ir.Value | None, original: ir.Value | None) -> ir.Value:
    """Returns HardSwish's s, which forward and backward pass share."""
    return op.memoize(("hard swish gate", x), lambda: _hard_sigmoid(op, x, original, (1 / 6, 0.5)))


def _hard_sigmoid(
    op: GraphBuilder,
    x: ir.Value | None,
    original: ir.Value | None,
    line: tuple[float, float],
) -> ir.Value:
    """Returns max(0, min(1, alpha x + beta)): one operator in float32, arithmetic in float64.

    The operator's attributes are float32, so its alpha is 1/6 only up to 3e-8. A float64 graph,
    which serves comparisons with PyTorch, needs all digits.
    """
    alpha, beta = line
    if op.dtype == ir.DataType.FLOAT:
        return op.HardSigmoid(x, alpha=alpha, beta=beta)
    value = op.Add(op.Mul(x, op.beside(alpha, original)), op.beside(beta, original))
    return op.Clip(value, op.number(0.0), op.number(1.0))


def _line(node: ir.Node) -> tuple[float, float]:
    """Returns HardSigmoid's alpha and beta in full: 1/6 where the float32 attribute is 0.16666667.

    PyTorch's hardsigmoid divides by 6.
    """
    attributes = node.attributes
    return _in_full(attributes.get_float("alpha", 0.2)), _in_full(attributes.get_float("beta", 0.5))


def _in_full(attribute: float) -> float:
    """Returns the simple fraction that a float32 attribute stands for, else its short decimal."""
    fraction = float(Fraction(attribute).limit_denominator(LARGEST_DENOMINATOR))
    return fraction if np.float32(fraction) == np.float32(attribute) else decimal(attribute)
