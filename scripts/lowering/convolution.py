"""The convolution and its gradients.

Y[n, o, p, q] = sum_{c, i, j} X[n, c, s p + d i - pad, s q + d j - pad] W[o, c, i, j]
for stride s and dilation d; both gradients are sums over the same index pairs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from scripts.graph_builder import GraphBuilder
from scripts.lowering import winograd
from scripts.lowering.convolution_geometry import Convolution
from scripts.lowering.convolution_weight import weight_grad


def conv_forward(
    op: GraphBuilder, node: ir.Node, inputs: Sequence[ir.Value | None]
) -> Sequence[ir.Value | None]:
    """Conv(X, W[, B]) -> Y: minimal filtering where it saves time, else the operator itself."""
    x, weight = inputs[:2]
    assert x is not None and weight is not None
    conv = Convolution.of(node, node.inputs[0], node.inputs[1])
    if len(inputs) == 2 and not op.large_nodes and winograd.suits(conv):
        return [winograd.forward(op, conv, x, weight)]
    return op.copy(node, inputs)


def conv_grad(
    op: GraphBuilder, node: ir.Node, inputs: Sequence[ir.Value | None]
) -> Sequence[ir.Value | None]:
    """ConvGrad(dY, X, W) -> dX, dW and, where the convolution has a bias, dB = sum_{n,p,q} dY."""
    d_y, x, weight = inputs
    assert d_y is not None and x is not None and weight is not None
    conv = Convolution.of(node, node.inputs[1], node.inputs[2])
    wanted = [bool(output.name) for output in node.outputs]
    results: list[ir.Value | None]
    if all(wanted[:2]) and not op.large_nodes and winograd.suits(conv):
        results = list(winograd.gradients(op, conv, d_y, x, weight))
    else:
        results = [
            input_grad(op, conv, d_y, weight) if wanted[0] else None,
            weight_grad(op, conv, d_y, x) if wanted[1] else None,
        ]
    if len(wanted) == 3:
        results.append(op.ReduceSum(d_y, op.ints([0, 2, 3]), keepdims=0) if wanted[2] else None)
    return results


def input_grad(op: GraphBuilder, conv: Convolution, d_y: ir.Value, weight: ir.Value) -> ir.Value:
    """dX[n, c, h, w] = sum over (o, i, j) with h = s p + d i - pad of dY[n, o, p, q] W[o, c, i, j].

    Stride 1, large maps: a convolution of dY with the weights flipped in space and with O and C
    exchanged, padded by d (k - 1) - pad. Otherwise ConvTranspose, which is that sum by definition.
    """
    full_pads = tuple(
        conv.dilations[a % 2] * (conv.kernel[a % 2] - 1) - conv.pads[a] for a in range(4)
    )
    if conv.strides == (1, 1) and min(full_pads) >= 0 and conv.large_map:
        return op.Conv(
            d_y,
            _flipped(op, conv, weight),
            kernel_shape=conv.kernel,
            dilations=conv.dilations,
            pads=full_pads,
            group=conv.group,
        )
    # Rows at the end of X that no window reached: ConvTranspose adds them back, as zeros.
    leftover = [
        conv.in_size[a]
        + conv.pads[a]
        + conv.pads[a + 2]
        - (conv.strides[a] * (conv.out_size[a] - 1) + conv.dilations[a] * (conv.kernel[a] - 1) + 1)
        for a in (0, 1)
    ]
    return op.ConvTranspose(
        d_y,
        weight,
        kernel_shape=conv.kernel,
        strides=conv.strides,
        dilations=conv.dilations,
        pads=conv.pads,
        output_padding=leftover,
        group=conv.group,
    )


def _flipped(op: GraphBuilder, conv: Convolution, weight: ir.Value) -> ir.Value:
    """W[o, c, i, j] as [c, o, k-1-i, k-1-j], within each group."""
    groups, taps = conv.group, conv.kernel[0] * conv.kernel[1]
    per_group = [conv.out_channels // groups, conv.in_channels // groups, taps]
    flat = op.Reshape(weight, op.ints([groups, *per_group]))
    exchanged = op.Transpose(flat, perm=[0, 2, 1, 3])
    if taps > 1:
        exchanged = op.Gather(exchanged, op.array(np.arange(taps - 1, -1, -1)), axis=3)
    return op.Reshape(exchanged, op.ints([conv.in_channels, per_group[0], *conv.kernel]))
