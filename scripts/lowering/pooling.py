"""Max pooling without the Indices output, which is slow on CPU and missing on WebGPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from scripts.graph_builder import GraphBuilder, fixed, static_shape


def max_pool(
    op: GraphBuilder, node: ir.Node, inputs: Sequence[ir.Value | None]
) -> Sequence[ir.Value | None]:
    """MaxPool(X) -> Y, Indices: only Y is kept; the gradient finds the maxima again."""
    attributes = {name: value.value for name, value in node.attributes.items()}
    return [op.record("MaxPool", inputs, attributes), *[None] * (len(node.outputs) - 1)]


def max_pool_grad(
    op: GraphBuilder, node: ir.Node, inputs: Sequence[ir.Value | None]
) -> Sequence[ir.Value | None]:
    """MaxPoolGrad(dY, Indices): dX[h, w] = sum of dY over the windows whose maximum is X[h, w].

    Tap t = (i, j) of window (p, q) looks at row s p + d i of the padded X. Its mask is
    X = Y and no earlier tap matched (row-major order, the first maximum: PyTorch's rule for ties).
    Rows of equal remainder modulo s form a phase; SpaceToDepth puts the phases side by side, and
    each tap is then a plain slice of one phase. The masked dY go back to where they came from by a
    ConvTranspose of the pool's own geometry, whose weights put tap t on place t.
    """
    d_y = inputs[0]
    assert d_y is not None
    indices = node.inputs[1]
    forward = None if indices is None else indices.producer()
    if forward is None or forward.op_type != "MaxPool":
        raise NotImplementedError("expected MaxPoolGrad to read the Indices of a MaxPool node")
    x, y = op.lowered(forward.inputs[0]), op.lowered(forward.outputs[0])
    _, channels, height, width = static_shape(forward.inputs[0])
    out_size = [fixed(d) for d in static_shape(forward.outputs[0])[2:]]
    kernel = list(forward.attributes.get_ints("kernel_shape"))
    strides = list(forward.attributes.get_ints("strides", (1, 1)))
    dilations = list(forward.attributes.get_ints("dilations", (1, 1)))
    pads = list(forward.attributes.get_ints("pads", (0, 0, 0, 0)))
    in_size = [fixed(height), fixed(width)]
    stride = strides[0]
    if strides[0] != strides[1]:
        raise NotImplementedError(f"expected equal strides of MaxPool, got {strides}")

    # Phase planes are as long as the last tap of the last window and the whole padded X need.
    reach = [(kernel[a] - 1) * dilations[a] // stride + out_size[a] for a in (0, 1)]
    planes = [max(reach[a], -(-(in_size[a] + pads[a]) // stride)) for a in (0, 1)]
    end_pads = [planes[a] * stride - in_size[a] - pads[a] for a in (0, 1)]
    padded = op.Pad(
        x,
        op.ints([0, 0, pads[0], pads[1], 0, 0, end_pads[0], end_pads[1]]),
        op.number(float("-inf")),
    )
    if stride > 1:
        padded = op.SpaceToDepth(padded, blocksize=stride)

    depth = fixed(channels)
    shares: list[ir.Value] = []
    matched: ir.Value | None = None
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            offset = (i * dilations[0], j * dilations[1])
            phase = (offset[0] % stride, offset[1] % stride)
            start = [offset[0] // stride, offset[1] // stride]
            end = [start[a] + out_size[a] for a in (0, 1)]
            first = (phase[0] * stride + phase[1]) * depth
            seen = op.Slice(
                padded,
                op.ints([first, *start]),
                op.ints([first + depth, *end]),
                op.ints([1, 2, 3]),
            )
            mask = op.Equal(seen, y)
            if matched is None:
                matched = mask
            else:
                mask, matched = op.And(mask, op.Not(matched)), op.Or(mask, matched)
            shares.append(op.Unsqueeze(op.Mul(op.cast(mask), d_y), op.ints([2])))
    taps = kernel[0] * kernel[1]
    together = op.Reshape(op.Concat(*shares, axis=2), op.ints([0, depth * taps, *out_size]))
    # Where the last window ends: past X (ceil_mode, cut) or before its end (zeros to the end).
    ends = [
        (out_size[a] - 1) * stride + (kernel[a] - 1) * dilations[a] + 1 - pads[a] - in_size[a]
        for a in (0, 1)
    ]
    return [
        op.ConvTranspose(
            together,
            op.number(_placing_weights(depth, kernel)),
            kernel_shape=kernel,
            strides=strides,
            dilations=dilations,
            pads=[*pads[:2], *(max(0, end) for end in ends)],
            output_padding=[max(0, -end) for end in ends],
            group=depth,
        )
    ]


def _placing_weights(channels: int, kernel: list[int]) -> np.ndarray[Any, np.dtype[Any]]:
    """[C kh kw, 1, kh, kw] with a single 1: input c kh kw + t of a group goes to place t."""
    taps = kernel[0] * kernel[1]
    return np.tile(np.eye(taps).reshape(taps, 1, *kernel), (channels, 1, 1, 1))
