"""Rules for GPUs: few nodes, since each is a launch, and only operators that CUDA and WebGPU have.

What they lack or compute on the CPU: Size and Shape (a number read back), SpaceToDepth, Or, Sum and
Scatter on WebGPU; BatchNormalization in training mode on both. N is an input of the graph; where it
is needed as a shape, it is what the other sizes leave over.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from scripts.graph_builder import Array, GraphBuilder, decimal, fixed, static_shape
from scripts.lowering import Inputs, Rule
from scripts.lowering.convolution_geometry import Convolution

Outputs = Sequence[ir.Value | None]


def add_all(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Sum(A, B, ...) as additions."""
    total = inputs[0]
    for term in inputs[1:]:
        total = op.Add(total, term)
    return [total]


def identity(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Identity(X): X."""
    return [inputs[0]]


def shape(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Shape(X): nobody reads it; the rules below take the sizes of X as constants."""
    return [None]


def expand(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Expand(A, Shape(X)): A has N already."""
    sizes = _sizes(node.inputs[1])
    if sizes is None:
        raise NotImplementedError("expected Expand to read the Shape of a value")
    return [op.Expand(inputs[0], op.ints([1 if size is None else size for size in sizes]))]


def reshape(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Reshape(A, Shape(X)): N is what the other sizes leave over."""
    sizes = _sizes(node.inputs[1])
    if sizes is None:
        return op.copy(node, inputs)
    return [op.Reshape(inputs[0], op.ints([-1 if size is None else size for size in sizes]))]


def _sizes(value: ir.Value | None) -> list[int | None] | None:
    """What ``value`` holds if it is the shape of another value."""
    source = None if value is None else value.producer()
    if source is None or source.op_type != "Shape":
        return None
    return static_shape(source.inputs[0])


def batch_norm_forward(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """BatchNormInternal(X, gamma, beta, running_mean, running_var), statistics of the batch.

    mean = sum X / M, var = sum (X - mean)^2 / M, Y by the inference operator. Outputs: Y, mean,
    var, mean, and nothing for the gradient, which takes var: the running statistics of all layers
    are updated together.
    """
    x, gamma, beta, *_ = inputs
    epsilon = decimal(node.attributes.get_float("epsilon", 1e-5))
    mean = op.ReduceMean(x, axes=[0, 2, 3], keepdims=1)
    centred = op.Sub(x, mean)
    var = op.ReduceMean(op.Mul(centred, centred), axes=[0, 2, 3], keepdims=0)
    mean = op.Reshape(mean, op.ints([-1]))
    y = op.BatchNormalization(x, gamma, beta, mean, var, epsilon=epsilon)
    return [y, mean, var, mean, None]


def batch_norm_grad(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """BatchNormalizationGrad(dY, X, gamma, mean, r) with r = 1 / sqrt(var + eps).

    With E the mean over N, H and W and xhat = (X - mean) r:
    dbeta = M E[dY],  dgamma = M s,  s = E[dY xhat] = (E[dY X] - mean E[dY]) r,
    dX = gamma r (dY - s xhat - E[dY]).
    The inference operator is gamma (X - mean) r + beta: it computes s (of E[dY X]), gamma r (of 1)
    and s xhat + E[dY] (of X), one node each.
    """
    d_y, x, gamma, mean, _ = inputs
    _, channels, height, width = static_shape(node.inputs[1])
    forward = None if node.inputs[4] is None else node.inputs[4].producer()
    if forward is None or forward.op_type != "BatchNormInternal":
        raise NotImplementedError("expected the statistics of a BatchNormInternal node")
    var = op.lowered(forward.outputs[2])
    epsilon = decimal(forward.attributes.get_float("epsilon", 1e-5))
    zeros = op.number([0.0] * fixed(channels))
    ones = op.number([1.0] * fixed(channels))
    one = op.number(np.ones((1, fixed(channels), 1, 1)))
    pixels = fixed(height) * fixed(width)
    batch_size = op.batch_size
    count = op.once(("count", pixels), lambda: op.Mul(batch_size, op.number(float(pixels))))
    mean_d_y = op.ReduceMean(d_y, axes=[0, 2, 3], keepdims=0)
    mean_d_y_x = op.ReduceMean(op.Mul(d_y, x), axes=[0, 2, 3], keepdims=1)
    shift = op.Mul(mean, mean_d_y)
    s = op.BatchNormalization(mean_d_y_x, ones, zeros, shift, var, epsilon=epsilon)
    s = op.Reshape(s, op.ints([-1]))
    slope = op.BatchNormalization(one, gamma, zeros, zeros, var, epsilon=epsilon)
    correction = op.BatchNormalization(x, s, mean_d_y, mean, var, epsilon=epsilon)
    d_x = op.Mul(op.Sub(d_y, correction), slope)
    return [d_x, op.Mul(count, s), op.Mul(count, mean_d_y)]


def conv_grad(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """ConvGrad(dY, X, W) -> dX, dW: a ConvTranspose, and im2col with one batched product.

    im2col is a convolution of every channel on its own with k k kernels that each hold one 1; of a
    1x1 convolution of stride 1 it is X itself.
    dW = sum_n dY[n] [O, P Q] columns[n] [C k k, P Q]^T.
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
        leftover = [
            conv.in_size[a]
            + sum(conv.pads[a::2])
            - conv.strides[a] * (conv.out_size[a] - 1)
            - conv.dilations[a] * (conv.kernel[a] - 1)
            - 1
            for a in (0, 1)
        ]
        d_x = op.ConvTranspose(d_y, weight, **geometry, output_padding=leftover)
    if wanted[1]:
        taps, pixels = conv.kernel[0] * conv.kernel[1], conv.out_size[0] * conv.out_size[1]
        columns = x
        if taps > 1 or conv.strides != (1, 1) or any(conv.pads):
            planes = op.Reshape(x, op.ints([-1, 1, *conv.in_size]))
            columns = op.Conv(planes, op.number(_placing_weights(1, list(conv.kernel))), **geometry)
        columns = op.Reshape(columns, op.ints([-1, conv.in_channels * taps, pixels]))
        rows = op.Reshape(d_y, op.ints([-1, conv.out_channels, pixels]))
        products = op.MatMul(rows, op.Transpose(columns, perm=[0, 2, 1]))
        total = op.ReduceSum(products, op.ints([0]), keepdims=0)
        shape = [conv.out_channels, conv.in_channels, *conv.kernel]
        d_weight = op.Reshape(total, op.ints(shape))
    return [d_x, d_weight, None][: len(wanted)]


def max_pool_grad(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """MaxPoolGrad(dY, Indices): as on the CPU, all taps of a window in one [N, C, T, P, Q].

    Taps that hold the maximum score T, T - 1, ...; the highest score is the first of them. The
    masked dY go back by a ConvTranspose of the pool's geometry with a single 1 in each kernel.
    """
    d_y = inputs[0]
    indices = node.inputs[1]
    forward = None if indices is None else indices.producer()
    if forward is None or forward.op_type != "MaxPool":
        raise NotImplementedError("expected MaxPoolGrad to read the Indices of a MaxPool node")
    x, y = op.lowered(forward.inputs[0]), op.lowered(forward.outputs[0])
    _, channels, *in_size = (d and fixed(d) for d in static_shape(forward.inputs[0]))
    depth = fixed(channels)
    out_size = [fixed(d) for d in static_shape(forward.outputs[0])[2:]]
    kernel = list(forward.attributes.get_ints("kernel_shape"))
    strides = list(forward.attributes.get_ints("strides", (1, 1)))
    dilations = list(forward.attributes.get_ints("dilations", (1, 1)))
    pads = list(forward.attributes.get_ints("pads", (0, 0, 0, 0)))
    # How far the last tap of the last window reaches, and what X lacks of that.
    spans = [(out_size[a] - 1) * strides[a] + (kernel[a] - 1) * dilations[a] + 1 for a in (0, 1)]
    lacks = [spans[a] - pads[a] - fixed(in_size[a]) for a in (0, 1)]
    ends = [max(0, lack) for lack in lacks]
    padded = op.Pad(
        x, op.ints([0, 0, *pads[:2], 0, 0, *ends]), op.number(float(np.finfo(np.float32).min))
    )
    padded = op.Unsqueeze(padded, op.ints([2]))
    seen = []
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            start = [i * dilations[0], j * dilations[1]]
            end = [start[a] + strides[a] * (out_size[a] - 1) + 1 for a in (0, 1)]
            seen.append(
                op.Slice(padded, op.ints(start), op.ints(end), op.ints([3, 4]), op.ints(strides))
            )
    taps = len(seen)
    is_maximum = op.cast(op.Equal(op.Concat(*seen, axis=2), op.Unsqueeze(y, op.ints([2]))))
    ranks = op.number(np.arange(taps, 0, -1).reshape(taps, 1, 1))
    score = op.Mul(is_maximum, ranks)
    first = op.cast(op.Equal(score, op.ReduceMax(score, axes=[2], keepdims=1)))
    shares = op.Mul(first, op.Unsqueeze(d_y, op.ints([2])))
    shares = op.Reshape(shares, op.ints([-1, depth * taps, *out_size]))
    return [
        op.ConvTranspose(
            shares,
            op.number(_placing_weights(depth, kernel)),
            kernel_shape=kernel,
            strides=strides,
            dilations=dilations,
            pads=[*pads[:2], *ends],
            output_padding=[max(0, -lack) for lack in lacks],
            group=depth,
        )
    ]


GPU_RULES: dict[tuple[str, str], Rule] = {
    ("", "Expand"): expand,
    ("", "Identity"): identity,
    ("", "Reshape"): reshape,
    ("", "Shape"): shape,
    ("", "Sum"): add_all,
    ("", "MaxPoolGrad"): max_pool_grad,
    ("com.microsoft", "BatchNormInternal"): batch_norm_forward,
    ("com.microsoft", "BatchNormalizationGrad"): batch_norm_grad,
    ("com.microsoft", "ConvGrad"): conv_grad,
}
"""In the place of the CPU's."""


def _placing_weights(channels: int, kernel: list[int]) -> Array:
    """[C kh kw, 1, kh, kw] with a single 1: input c kh kw + t of a group goes to place t."""
    taps = kernel[0] * kernel[1]
    return np.tile(np.eye(taps).reshape(taps, 1, *kernel), (channels, 1, 1, 1))
