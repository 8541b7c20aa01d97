"""Dropout and stochastic depth: products with masks that the graph takes as an input.

The driver draws the random numbers, so that a resumed run draws the same ones. A mask holds 0 and
1 / (1 - p), PyTorch's scaling. A node without a mask (evaluation mode, or p = 0) is the identity.
"""

from __future__ import annotations

from math import prod

import onnx_ir as ir

from scripts.artifacts.graph_builder import GraphBuilder, fixed, static_shape
from scripts.artifacts.lowering.rule import Inputs, Outputs


def random_mask(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers Dropout(X) and DropPath(X) -> Y: Y = X M; Dropout's second output is left out.

    Dropout's mask has a number for each value of X, DropPath's one for each image.
    Sources: Srivastava et al., Dropout (2014); Huang et al., Deep Networks with Stochastic Depth
    (2016).
    """
    x = inputs[0]
    mask = _mask(op, node)
    y = x if mask is None else op.Mul(x, mask)
    return [y, *[None] * (len(node.outputs) - 1)]


def mask_grad(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers MaskGrad(dY, an output of the forward node): dX = dY M."""
    d_y, made = inputs[0], node.inputs[1]
    forward = None if made is None else made.producer()
    if forward is None:
        raise NotImplementedError("expected MaskGrad to read an output of a Dropout or DropPath")
    mask = _mask(op, forward)
    return [d_y if mask is None else op.Mul(d_y, mask)]


def _mask(op: GraphBuilder, forward: ir.Node) -> ir.Value | None:
    """Returns the forward node's mask in the shape that broadcasts over X; None if it has none."""
    mask = op.masks.get(forward.name or "")
    if mask is None:
        return None
    sizes = [fixed(size) for size in static_shape(forward.inputs[0])[1:]]
    (_, width) = static_shape(mask)
    if width not in (1, prod(sizes)):
        raise ValueError(f"expected a mask of 1 or {prod(sizes)} columns, got {width}")
    shape = sizes if width == prod(sizes) else [1] * len(sizes)
    if len(shape) == 1:
        return mask
    return op.memoize(("mask", forward.name), lambda: op.Reshape(mask, op.ints([-1, *shape])))
