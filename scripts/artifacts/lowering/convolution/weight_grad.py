"""Gradient of the convolution's weights, by one of three methods.

dW[o, c, i, j] = sum_{n, p, q} dY[n, o, p, q] X[n, c, s p + d i - pad, s q + d j - pad]
for stride s and dilation d. All methods compute this sum; they differ in what they copy.
"""

from __future__ import annotations

import onnx_ir as ir

from scripts.artifacts.graph_builder import GraphBuilder
from scripts.artifacts.lowering.convolution.geometry import Convolution

DIRECT_WEIGHT_GRAD_CHANNELS = 4
"""Up to this many input channels, dW is one convolution with dY as the kernel.

For so few channels im2col makes a matrix of few, very long rows, which is slower (measured on
conv1: 7x7, 3 channels).
"""


def weight_grad(op: GraphBuilder, conv: Convolution, d_y: ir.Value, x: ir.Value) -> ir.Value:
    """Returns dW [O, C / group, kh, kw] from dY [N, O, P, Q] and X [N, C, H, W]."""
    if conv.group == 1 and conv.in_channels <= DIRECT_WEIGHT_GRAD_CHANNELS:
        return _by_convolution(op, conv, d_y, x)
    shiftable = conv.group == 1 and conv.strides == (1, 1) and conv.kernel != (1, 1)
    if shiftable and conv.large_map:
        return _by_shifts(op, conv, d_y, x)
    return _by_im2col(op, conv, d_y, x)


def _by_convolution(op: GraphBuilder, conv: Convolution, d_y: ir.Value, x: ir.Value) -> ir.Value:
    """Computes dW as a convolution of X with dY as the kernel; stride and dilation are swapped.

    X's channels take the place of the batch, and X's batch that of the channels. The result may
    have more rows than the kernel, because X may have rows that no window reached; they are cut.
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


def _by_shifts(op: GraphBuilder, conv: Convolution, d_y: ir.Value, x: ir.Value) -> ir.Value:
    """Computes dW for stride 1 as one Gemm of kh shifted copies of dY with kw shifted copies of X.

    With r = p + d i - pad the row of X, dW[o, c, i, j] is the sum over (n, r, q) of
    A_i[n, o, r, q] B_j[n, c, r, q], where A_i[r, q] = dY[r - d i + pad, q] and
    B_j[r, q] = X[r, q + d j - pad], 0 outside. It makes kh + kw copies; im2col makes kh kw.
    """
    height, out_width = conv.in_size[0], conv.out_size[1]
    top, left = conv.pads[:2]
    rows = op.Transpose(d_y, perm=[1, 0, 2, 3])
    columns = op.Transpose(x, perm=[1, 0, 2, 3])
    a = [
        _shifted(
            op, rows, axis=2, shift=i * conv.dilations[0] - top, size=conv.out_size[0], to=height
        )
        for i in range(conv.kernel[0])
    ]
    b = [
        _shifted(
            op,
            columns,
            axis=3,
            shift=left - j * conv.dilations[1],
            size=conv.in_size[1],
            to=out_width,
        )
        for j in range(conv.kernel[1])
    ]
    product = op.Gemm(
        op.Reshape(op.Concat(*a, axis=0), op.ints([conv.kernel[0] * conv.out_channels, -1])),
        op.Reshape(op.Concat(*b, axis=0), op.ints([conv.kernel[1] * conv.in_channels, -1])),
        transB=1,
    )
    kernel_major = op.Reshape(
        product,
        op.ints([conv.kernel[0], conv.out_channels, conv.kernel[1], conv.in_channels]),
    )
    return op.Transpose(kernel_major, perm=[1, 3, 0, 2])


def _shifted(
    op: GraphBuilder, value: ir.Value, *, axis: int, shift: int, size: int, to: int
) -> ir.Value:
    """Moves a [_, N, H, W] value by ``shift`` along an axis of ``size``; the new size is ``to``.

    One Pad operator does it: positive pads fill with zeros, negative pads cut.
    """
    pads = [0] * 8
    pads[axis], pads[4 + axis] = shift, to - size - shift
    return value if pads == [0] * 8 else op.Pad(value, op.ints(pads))


def _by_im2col(op: GraphBuilder, conv: Convolution, d_y: ir.Value, x: ir.Value) -> ir.Value:
    """Computes dW as one Gemm: dY [O, M] times columns [C k k, M]^T with M = N P Q."""
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
    """Computes im2col's matrix [C k k, N P Q]: row c k k + i k + j holds what tap (i, j) reads."""
    channel_major = op.Transpose(x, perm=[1, 0, 2, 3])
    if max(conv.pads) > 0:
        top, left, bottom, right = conv.pads
        channel_major = op.Pad(channel_major, op.ints([0, 0, top, left, 0, 0, bottom, right]))
    # [C, 1, N, H, W]: joining the taps on the new axis keeps the taps of a channel together.
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
