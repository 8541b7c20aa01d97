"""LayerNorm's gradient; its forward pass is a standard operator."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from scripts.artifacts.graph_builder import GraphBuilder, decimal, static_shape
from scripts.artifacts.lowering.rule import Inputs, Outputs


def layer_norm_grad(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers LayerNormalizationGrad(dY, X, gamma; axis, epsilon) -> dX, dgamma, dbeta.

    With E the mean over the normalised axes, xhat = (X - E[X]) r and r = 1 / sqrt(var + eps):
    dX = r (g - E[g] - xhat E[g xhat]) with g = dY gamma;  dgamma = sum dY xhat,  dbeta = sum dY
    over the other axes. The statistics are computed again.
    Source: Ba et al., Layer Normalization (2016).
    """
    d_y, x, gamma = inputs
    original = node.inputs[1]
    rank = len(static_shape(original))
    axis = node.attributes.get_int("axis", -1) % rank
    epsilon = decimal(node.attributes.get_float("epsilon", 1e-5))

    def mean(value: ir.Value | None) -> ir.Value:
        return op.ReduceMean(value, axes=list(range(axis, rank)), keepdims=1)

    centred = op.Sub(x, mean(x))
    var = mean(op.Mul(centred, centred))
    r = op.Reciprocal(op.Sqrt(op.Add(var, op.number(np.full([1] * rank, epsilon)))))
    x_hat = op.Mul(centred, r)
    g = op.Mul(d_y, gamma)
    d_x = op.Mul(r, op.Sub(op.Sub(g, mean(g)), op.Mul(x_hat, mean(op.Mul(g, x_hat)))))
    others = op.ints(list(range(axis)))
    d_gamma = op.ReduceSum(op.Mul(d_y, x_hat), others, keepdims=0)
    return [d_x, d_gamma, op.ReduceSum(d_y, others, keepdims=0)]
