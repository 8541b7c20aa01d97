"""Smooth activations: sigmoid, tanh, Swish and GELU."""

from __future__ import annotations

import math

import onnx_ir as ir

from scripts.artifacts.graph_builder import GraphBuilder
from scripts.artifacts.lowering.rule import Inputs, Outputs


def sigmoid_grad(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers SigmoidGrad(dY, Y): dX = dY Y (1 - Y)."""
    d_y, y = inputs
    return [op.Mul(d_y, op.Mul(y, op.Sub(op.beside(1.0, node.inputs[1]), y)))]


def tanh_grad(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers TanhGrad(dY, Y): dX = dY (1 - Y^2)."""
    d_y, y = inputs
    return [op.Mul(d_y, op.Sub(op.beside(1.0, node.inputs[1]), op.Mul(y, y)))]


def swish(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers Swish(X), PyTorch's SiLU: Y = X s with s = sigmoid(X).

    Source: Ramachandran et al., Searching for Activation Functions (2017), with beta = 1.
    """
    (x,) = inputs
    return [op.Mul(x, _sigmoid(op, x))]


def swish_grad(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers SwishGrad(dY, X): dX = dY s (1 + X (1 - s)), because s' = s (1 - s)."""
    d_y, x = inputs
    s, one = _sigmoid(op, x), op.beside(1.0, node.inputs[1])
    return [op.Mul(d_y, op.Mul(s, op.Add(op.Mul(x, op.Sub(one, s)), one)))]


def gelu(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers Gelu(X): Y = X Phi(X), Phi the distribution function of the standard normal.

    Source: Hendrycks and Gimpel, Gaussian Error Linear Units (2016); PyTorch's exact form.
    """
    (x,) = inputs
    return [op.Mul(x, _normal_distribution(op, x, node.inputs[0]))]


def gelu_grad(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers GeluGrad(dY, X): dX = dY (Phi(X) + X phi(X)), phi(X) = exp(-X^2 / 2) / sqrt(2 pi)."""
    d_y, x = inputs
    original = node.inputs[1]
    density = op.Exp(op.Mul(op.Mul(x, x), op.beside(-0.5, original)))
    scaled = op.Mul(x, op.beside(1 / math.sqrt(2 * math.pi), original))
    slope = op.Add(_normal_distribution(op, x, original), op.Mul(scaled, density))
    return [op.Mul(d_y, slope)]


def _sigmoid(op: GraphBuilder, x: ir.Value | None) -> ir.Value:
    """Returns sigmoid(x), which forward and backward pass share."""
    return op.memoize(("sigmoid", x), lambda: op.Sigmoid(x))


def _normal_distribution(
    op: GraphBuilder, x: ir.Value | None, original: ir.Value | None
) -> ir.Value:
    """Returns Phi(x) = (1 + erf(x / sqrt 2)) / 2, which forward and backward pass share."""

    def make() -> ir.Value:
        error = op.Erf(op.Mul(x, op.beside(math.sqrt(0.5), original)))
        one, half = op.beside(1.0, original), op.beside(0.5, original)
        return op.Mul(op.Add(error, one), half)

    return op.memoize(("normal distribution", x), make)
