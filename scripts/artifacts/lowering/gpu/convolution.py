"""The convolution's gradients on a GPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from scripts.artifacts.graph_builder import Array, GraphBuilder
from scripts.artifacts.lowering.convolution.geometry import Convolution
from scripts.artifacts.lowering.rule import Inputs, Outputs


def conv_grad(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers ConvGrad(dY, X, W) -> dX, dW and, for a convolution with bias, dB = sum_{n,p,q} dY."""
    d_y, x, weight = inputs
    assert d_y is not None and x is not None and weight is not None
    conv = Convolution.of(node, node.inputs[1], node.inputs[2])
    wanted = [bool(output.name) for output in node.outputs]
    results: list[ir.Value | None] = [
        _input_grad(op, conv, d_y, weight) if wanted[0] else None,
        _weight_grad(op, conv, d_y, x) if wanted[1] else None,
    ]
    if len(wanted) == 3:
        results.append(op.ReduceSum(d_y, op.ints([0, 2, 3]), keepdims=0) if wanted[2] else None)
    return results


def _geometry(conv: Convolution) -> dict[str, Sequence[int]]:
    return {
        "kernel_shape": conv.kernel,
        "strides": conv.strides,
        "dilations": conv.dilations,
        "pads": conv.pads,
    }


def _input_grad(op: GraphBuilder, conv: Convolution, d_y: ir.Value, weight: ir.Value) -> ir.Value:
    """Returns dX by a ConvTranspose, which is dX's sum by definition.

    cuDNN's takes equal pads on both sides only. With other ones, the ConvTranspose has no pads, and
    the padded part of its result is cut off.
    """
    group = {"group": conv.group} if conv.group > 1 else {}
    geometry = _geometry(conv)
    top, left, bottom, right = conv.pads
    if (top, left) == (bottom, right):
        padding = {"output_padding": conv.output_padding}
        return op.ConvTranspose(d_y, weight, **geometry, **padding, **group)
    ends = [top + conv.in_size[0], left + conv.in_size[1]]
    reached = [
        conv.strides[a] * (conv.out_size[a] - 1) + conv.dilations[a] * (conv.kernel[a] - 1) + 1
        for a in (0, 1)
    ]
    geometry |= {
        "pads": [0, 0, 0, 0],
        "output_padding": [max(0, ends[a] - reached[a]) for a in (0, 1)],
    }
    padded = op.ConvTranspose(d_y, weight, **geometry, **group)
    return op.Slice(padded, op.ints([top, left]), op.ints(ends), op.ints([2, 3]))


def _weight_grad(op: GraphBuilder, conv: Convolution, d_y: ir.Value, x: ir.Value) -> ir.Value:
    """Returns dW by im2col and a batched product, as the sum over the images.

    Without groups dW = sum_n dY[n] [O, P Q] columns[n] [C k k, P Q]^T. With G groups
    dW^T = sum_n columns[n] [G, C/G k k, P Q] dY[n] [G, O/G, P Q]^T: in a depthwise convolution
    dY has one row per group, so that no transposition moves data.
    """
    taps, pixels = conv.kernel[0] * conv.kernel[1], conv.out_size[0] * conv.out_size[1]
    columns = _columns(op, conv, x)
    shape = op.ints([conv.out_channels, conv.in_channels // conv.group, *conv.kernel])
    if conv.group == 1:
        columns = op.Reshape(columns, op.ints([-1, conv.in_channels * taps, pixels]))
        rows = op.Reshape(d_y, op.ints([-1, conv.out_channels, pixels]))
        products = op.MatMul(rows, op.Transpose(columns, perm=[0, 2, 1]))
        return op.Reshape(op.ReduceSum(products, op.ints([0]), keepdims=0), shape)
    inputs, outputs = (c // conv.group for c in (conv.in_channels, conv.out_channels))
    columns = op.Reshape(columns, op.ints([-1, conv.group, inputs * taps, pixels]))
    if outputs == 1:
        rows = op.Reshape(d_y, op.ints([-1, conv.group, pixels, 1]))
    else:
        rows = op.Reshape(d_y, op.ints([-1, conv.group, outputs, pixels]))
        rows = op.Transpose(rows, perm=[0, 1, 3, 2])
    total = op.ReduceSum(op.MatMul(columns, rows), op.ints([0]), keepdims=0)
    if outputs > 1:
        total = op.Transpose(total, perm=[0, 2, 1])
    return op.Reshape(total, shape)


def _columns(op: GraphBuilder, conv: Convolution, x: ir.Value) -> ir.Value:
    """Returns im2col's numbers [N C, k k, P, Q]: a convolution with kernels that hold a single 1.

    For a 1x1 convolution of stride 1 they are X itself.
    """
    if conv.kernel == (1, 1) and conv.strides == (1, 1) and not any(conv.pads):
        return x
    planes = op.Reshape(x, op.ints([-1, 1, *conv.in_size]))
    return op.Conv(planes, op.number(placing_weights(1, list(conv.kernel))), **_geometry(conv))


def placing_weights(channels: int, kernel: list[int]) -> Array:
    """Returns kernels [C kh kw, 1, kh, kw]: kernel c kh kw + t holds a single 1, at tap t."""
    taps = kernel[0] * kernel[1]
    return np.tile(np.eye(taps).reshape(taps, 1, *kernel), (channels, 1, 1, 1))
