"""Gradient of the convolution's input."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from scripts.artifacts.graph_builder import GraphBuilder
from scripts.artifacts.lowering.convolution.geometry import Convolution


def input_grad(op: GraphBuilder, conv: Convolution, d_y: ir.Value, weight: ir.Value) -> ir.Value:
    """Returns dX [N, C, H, W].

    dX[n, c, h, w] = sum over (o, i, j) with h = s p + d i - pad of dY[n, o, p, q] W[o, c, i, j].

    For stride 1 and large maps, this is a convolution of dY, padded by d (k - 1) - pad, with the
    weights flipped in space and with O and C swapped. Otherwise it is a ConvTranspose, which is
    this sum by definition.
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
    return op.ConvTranspose(
        d_y,
        weight,
        kernel_shape=conv.kernel,
        strides=conv.strides,
        dilations=conv.dilations,
        pads=conv.pads,
        output_padding=conv.output_padding,
        group=conv.group,
    )


def _flipped(op: GraphBuilder, conv: Convolution, weight: ir.Value) -> ir.Value:
    """Rearranges W[o, c, i, j] to [c, o, k-1-i, k-1-j], within each group."""
    groups, taps = conv.group, conv.kernel[0] * conv.kernel[1]
    per_group = [conv.out_channels // groups, conv.in_channels // groups, taps]
    flat = op.Reshape(weight, op.ints([groups, *per_group]))
    exchanged = op.Transpose(flat, perm=[0, 2, 1, 3])
    if taps > 1:
        exchanged = op.Gather(exchanged, op.array(np.arange(taps - 1, -1, -1)), axis=3)
    return op.Reshape(exchanged, op.ints([conv.in_channels, per_group[0], *conv.kernel]))
