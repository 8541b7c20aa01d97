"""Gradients of the convolution.

Y[n, o, p, q] = sum_{c, i, j} X[n, c, s p + d i - pad, s q + d j - pad] W[o, c, i, j]
for stride s and dilation d; both gradients are sums over the same index pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from scripts.graph_builder import GraphBuilder, fixed, static_shape

DIRECT_WEIGHT_GRAD_CHANNELS = 4
"""At most this many input channels: dW is one convolution with dY as the kernel.

im2col would make a matrix of few, very long rows there; measured on conv1 (7x7, 3 channels).
"""

FLIP_PIXELS = 400
"""From this many output pixels on, dX of a stride-1 convolution is a convolution.

Its weights must be flipped first, which below (14x14 and 7x7, where a ResNet has most weights)
costs more than the slower ConvTranspose.
"""


@dataclass(frozen=True)
class Convolution:
    """The fixed numbers of one 2-D convolution."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]
    group: int
    in_channels: int
    out_channels: int
    in_size: tuple[int, int]
    out_size: tuple[int, int]

    @staticmethod
    def of(node: ir.Node, x: ir.Value | None, weight: ir.Value | None) -> Convolution:
        """Reads attributes and shapes; N may be symbolic, the rest may not."""
        _, channels, height, width = static_shape(x)
        out_channels, _, kernel_h, kernel_w = (fixed(d) for d in static_shape(weight))
        attributes = node.attributes
        auto_pad = attributes.get_string("auto_pad", "NOTSET")
        if auto_pad not in ("NOTSET", ""):
            raise NotImplementedError(f"expected explicit pads, got auto_pad={auto_pad}")
        strides = tuple(attributes.get_ints("strides", (1, 1)))
        dilations = tuple(attributes.get_ints("dilations", (1, 1)))
        pads = tuple(attributes.get_ints("pads", (0, 0, 0, 0)))
        kernel = (kernel_h, kernel_w)
        in_size = (fixed(height), fixed(width))
        out_size = tuple(
            (in_size[a] + pads[a] + pads[a + 2] - dilations[a] * (kernel[a] - 1) - 1) // strides[a]
            + 1
            for a in (0, 1)
        )
        return Convolution(
            kernel=kernel,
            strides=(strides[0], strides[1]),
            dilations=(dilations[0], dilations[1]),
            pads=(pads[0], pads[1], pads[2], pads[3]),
            group=attributes.get_int("group", 1),
            in_channels=fixed(channels),
            out_channels=out_channels,
            in_size=in_size,
            out_size=(out_size[0], out_size[1]),
        )


def conv_grad(
    op: GraphBuilder, node: ir.Node, inputs: Sequence[ir.Value | None]
) -> Sequence[ir.Value | None]:
    """ConvGrad(dY, X, W) -> dX, dW and, where the convolution has a bias, dB = sum_{n,p,q} dY."""
    d_y, x, weight = inputs
    assert d_y is not None and x is not None and weight is not None
    conv = Convolution.of(node, node.inputs[1], node.inputs[2])
    wanted = [bool(output.name) for output in node.outputs]
    results: list[ir.Value | None] = [
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
    pixels = conv.out_size[0] * conv.out_size[1]
    if conv.strides == (1, 1) and min(full_pads) >= 0 and pixels >= FLIP_PIXELS:
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


def weight_grad(op: GraphBuilder, conv: Convolution, d_y: ir.Value, x: ir.Value) -> ir.Value:
    """dW[o, c, i, j] = sum_{n, p, q} dY[n, o, p, q] X[n, c, s p + d i - pad, s q + d j - pad]."""
    if conv.group == 1 and conv.in_channels <= DIRECT_WEIGHT_GRAD_CHANNELS:
        return _weight_grad_by_convolution(op, conv, d_y, x)
    return _weight_grad_by_im2col(op, conv, d_y, x)


def _weight_grad_by_convolution(
    op: GraphBuilder, conv: Convolution, d_y: ir.Value, x: ir.Value
) -> ir.Value:
    """The sum read as a convolution: images are channels c, kernel is dY, stride and dilation swap.

    The result may have more rows than the kernel, where X has rows that no window reached.
    """
    taps = op.Conv(
        op.Transpose(x, perm=[1, 0, 2, 3]),
        op.Transpose(d_y, perm=[1, 0, 2, 3]),
        kernel_shape=conv.out_size,
        strides=conv.dilations,
        dilations=conv.strides,
        pads=conv.pads,
    )
    inside = op.Slice(taps, op.ints([0, 0]), op.ints(conv.kernel), op.ints([2, 3]))
    return op.Transpose(inside, perm=[1, 0, 2, 3])


def _weight_grad_by_im2col(
    op: GraphBuilder, conv: Convolution, d_y: ir.Value, x: ir.Value
) -> ir.Value:
    """One Gemm: dW = dY [O, M] columns [C k k, M]^T with M = N P Q."""
    groups, per_group = conv.group, conv.in_channels // conv.group
    columns = _columns(op, conv, x)
    rows = op.Transpose(d_y, perm=[1, 0, 2, 3])
    if groups == 1:
        rows = op.Reshape(rows, op.ints([conv.out_channels, -1]))
        product = op.Gemm(rows, columns, transB=1)
    else:
        taps = conv.kernel[0] * conv.kernel[1]
        rows = op.Reshape(rows, op.ints([groups, conv.out_channels // groups, -1]))
        columns = op.Reshape(columns, op.ints([groups, per_group * taps, -1]))
        product = op.MatMul(rows, op.Transpose(columns, perm=[0, 2, 1]))
    return op.Reshape(product, op.ints([conv.out_channels, per_group, *conv.kernel]))


def _columns(op: GraphBuilder, conv: Convolution, x: ir.Value) -> ir.Value:
    """im2col, channel-major: [C k k, N P Q], row c k k + i k + j is X seen through tap (i, j)."""
    channel_major = op.Transpose(x, perm=[1, 0, 2, 3])
    if max(conv.pads) > 0:
        top, left, bottom, right = conv.pads
        channel_major = op.Pad(channel_major, op.ints([0, 0, top, left, 0, 0, bottom, right]))
    # [C, 1, N, H, W]: concatenating on the new axis puts a channel's taps next to each other.
    planes = op.Unsqueeze(channel_major, op.ints([1]))
    views = []
    for i in range(conv.kernel[0]):
        for j in range(conv.kernel[1]):
            start = [i * conv.dilations[0], j * conv.dilations[1]]
            end = [start[a] + conv.strides[a] * (conv.out_size[a] - 1) + 1 for a in (0, 1)]
            views.append(
                op.Slice(
                    planes, op.ints(start), op.ints(end), op.ints([3, 4]), op.ints(conv.strides)
                )
            )
    stacked = views[0] if len(views) == 1 else op.Concat(*views, axis=1)
    taps = conv.kernel[0] * conv.kernel[1]
    return op.Reshape(stacked, op.ints([conv.in_channels * taps, -1]))
