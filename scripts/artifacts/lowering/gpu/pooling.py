"""The max pool's gradient on a GPU."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from scripts.artifacts.graph_builder import GraphBuilder, fixed, static_shape
from scripts.artifacts.lowering.gpu.convolution import placing_weights
from scripts.artifacts.lowering.rule import Inputs, Outputs


def max_pool_grad(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers MaxPoolGrad(dY, Indices): as on the CPU, but with all T taps of a window at once.

    In [N, C, T, P, Q], the taps that hold the maximum get the scores T, T - 1, ... in order, so the
    highest score marks the first of them. dY at the marked taps goes back by a ConvTranspose with
    the pool's geometry and a single 1 in each kernel.
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
    # Places from the first to the last tap, and how many of them lie past the end of X.
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
            op.number(placing_weights(depth, kernel)),
            kernel_shape=kernel,
            strides=strides,
            dilations=dilations,
            pads=[*pads[:2], *ends],
            output_padding=[max(0, -lack) for lack in lacks],
            group=depth,
        )
    ]
