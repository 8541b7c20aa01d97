"""The convolution's gradients on a GPU."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from scripts.artifacts.graph_builder import Array, GraphBuilder
from scripts.artifacts.lowering.convolution.geometry import Convolution
from scripts.artifacts.lowering.rule import Inputs, Outputs


def conv_grad(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers ConvGrad(dY, X, W) -> dX, dW: to a ConvTranspose, and to im2col and a batched product.

    dW = sum_n dY[n] [O, P Q] columns[n] [C k k, P Q]^T.
    im2col is a convolution of each channel on its own with k k kernels that each hold a single 1.
    For a 1x1 convolution of stride 1 the columns are X itself.
    """
    d_y, x, weight = inputs
    conv = Convolution.of(node, node.inputs[1], node.inputs[2])
    if conv.group != 1 or (len(node.outputs) == 3 and node.outputs[2].name):
        raise NotImplementedError("expected a convolution without groups and bias")
    wanted = [bool(output.name) for output in node.outputs]
    geometry = {
        "kernel_shape": conv.kernel,
        "strides": conv.strides,
        "dilations": conv.dilations,
        "pads": conv.pads,
    }
    d_x = d_weight = None
    if wanted[0]:
        d_x = op.ConvTranspose(d_y, weight, **geometry, output_padding=conv.output_padding)
    if wanted[1]:
        taps, pixels = conv.kernel[0] * conv.kernel[1], conv.out_size[0] * conv.out_size[1]
        columns = x
        if taps > 1 or conv.strides != (1, 1) or any(conv.pads):
            planes = op.Reshape(x, op.ints([-1, 1, *conv.in_size]))
            columns = op.Conv(planes, op.number(placing_weights(1, list(conv.kernel))), **geometry)
        columns = op.Reshape(columns, op.ints([-1, conv.in_channels * taps, pixels]))
        rows = op.Reshape(d_y, op.ints([-1, conv.out_channels, pixels]))
        products = op.MatMul(rows, op.Transpose(columns, perm=[0, 2, 1]))
        total = op.ReduceSum(products, op.ints([0]), keepdims=0)
        shape = [conv.out_channels, conv.in_channels, *conv.kernel]
        d_weight = op.Reshape(total, op.ints(shape))
    return [d_x, d_weight, None][: len(wanted)]


def placing_weights(channels: int, kernel: list[int]) -> Array:
    """Returns kernels [C kh kw, 1, kh, kw]: kernel c kh kw + t holds a single 1, at tap t."""
    taps = kernel[0] * kernel[1]
    return np.tile(np.eye(taps).reshape(taps, 1, *kernel), (channels, 1, 1, 1))
