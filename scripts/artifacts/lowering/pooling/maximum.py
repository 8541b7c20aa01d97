"""Max pooling without the Indices output, which is slow on the CPU and missing on WebGPU.

The maximum of a window is found in two steps: first the maximum along each of its rows, then the
maximum of these along the column. The gradient goes back through the same two steps, one axis at a
time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from scripts.artifacts.graph_builder import GraphBuilder, fixed, static_shape
from scripts.artifacts.lowering.rule import Inputs, Outputs


def max_pool(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers MaxPool(X) -> Y, Indices to Y alone; the gradient finds the maxima again."""
    attributes = {name: value.value for name, value in node.attributes.items()}
    return [op.record("MaxPool", inputs, attributes), *[None] * (len(node.outputs) - 1)]


def max_pool_grad(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers MaxPoolGrad(dY, Indices): dX[h, w] = sum of dY over windows whose maximum is X[h, w].

    R[h, q] is the maximum of row h over the columns of window q. dY goes to the first row whose R
    equals Y, and there to the first column whose X equals R. This is the first maximum in
    row-major order, as PyTorch decides ties.
    """
    d_y = inputs[0]
    assert d_y is not None
    indices = node.inputs[1]
    forward = None if indices is None else indices.producer()
    if forward is None or forward.op_type != "MaxPool":
        raise NotImplementedError("expected MaxPoolGrad to read the Indices of a MaxPool node")
    x, y = op.lowered(forward.inputs[0]), op.lowered(forward.outputs[0])
    rows, columns = (_Windows.of(forward, axis) for axis in (0, 1))
    channels = fixed(static_shape(forward.inputs[0])[1])
    in_rows = _tap_views(op, columns, x, ())
    row_maxima = op.Max(*in_rows)
    in_columns = _tap_views(op, rows, row_maxima, (columns.out_size,))
    d_rows = _line_grad(op, rows, in_columns, y, d_y, (columns.out_size,))
    d_x = _line_grad(op, columns, in_rows, row_maxima, d_rows, ())
    return [op.Reshape(d_x, op.ints([-1, channels, rows.size, columns.size]))]


@dataclass(frozen=True)
class _Windows:
    """The windows along one axis: tap j of window q is at s q + d j - pad.

    The places of an axis fall into ``stride`` planes: plane p holds the places p, p + s, p + 2 s, …
    In a plane, tap j of all windows is a run of neighbours, so it can be cut out with one Pad.
    """

    kernel: int
    stride: int
    dilation: int
    pad: int
    size: int
    out_size: int

    @property
    def length(self) -> int:
        """Number of places in a plane."""
        return -(-self.size // self.stride)

    def taps(self) -> list[tuple[int, int]]:
        """Returns for each tap its plane, and its place there minus the window's number."""
        places = [self.dilation * tap - self.pad for tap in range(self.kernel)]
        return [(place % self.stride, place // self.stride) for place in places]

    @staticmethod
    def of(pool: ir.Node, axis: int) -> _Windows:
        attributes = pool.attributes
        pads = list(attributes.get_ints("pads", (0, 0, 0, 0)))
        return _Windows(
            kernel=list(attributes.get_ints("kernel_shape"))[axis],
            stride=list(attributes.get_ints("strides", (1, 1)))[axis],
            dilation=list(attributes.get_ints("dilations", (1, 1)))[axis],
            pad=pads[axis],
            size=fixed(static_shape(pool.inputs[0])[2 + axis]),
            out_size=fixed(static_shape(pool.outputs[0])[2 + axis]),
        )


TrailingAxes = tuple[int, ...]
"""Sizes of the axes behind the pooled one: () or (width,). Not (1,): ONNX Runtime is slow on it."""


def _pads(trailing: TrailingAxes, plane: tuple[int, int], place: tuple[int, int]) -> list[int]:
    """Returns Pad's pads for [plane, _, place, trailing]; each pair is (before, after)."""
    rest = [0] * len(trailing)
    return [plane[0], 0, place[0], *rest, plane[1], 0, place[1], *rest]


def _tap_views(
    op: GraphBuilder, windows: _Windows, x: ir.Value, trailing: TrailingAxes
) -> list[ir.Value]:
    """Returns for each tap the values it reads in all windows: [1, _, out_size, trailing]."""
    planes = _planes(op, windows, x, trailing)
    found = []
    for plane, shift in windows.taps():
        after = windows.out_size - windows.length + shift
        pads = _pads(trailing, (-plane, plane + 1 - windows.stride), (-shift, after))
        found.append(op.Pad(planes, op.ints(pads), op.number(float("-inf"))))
    return found


def _line_grad(
    op: GraphBuilder,
    windows: _Windows,
    seen: Sequence[ir.Value],
    y: ir.Value,
    d_y: ir.Value,
    trailing: TrailingAxes,
) -> ir.Value:
    """Returns the gradient of the pool along one axis: [_, size, trailing].

    The taps take their share of dY in order. The last tap takes what is left without a comparison,
    because one of the taps is the maximum.

    Args:
        seen: what ``_tap_views`` returned for the pool's input along this axis.
        y: the maxima along this axis.
        d_y: their gradient.
    """
    shape = op.ints([1, -1, windows.out_size, *trailing])
    y, left = op.Reshape(y, shape), op.Reshape(d_y, shape)
    sums: list[ir.Value | None] = [None] * windows.stride
    for (plane, shift), view in zip(windows.taps(), seen, strict=True):
        share = left
        if view is not seen[-1]:
            share = op.Mul(op.cast(op.Equal(view, y)), left)
            left = op.Sub(left, share)
        after = windows.length - windows.out_size - shift
        back = _pads(trailing, (0, 0), (shift, after))
        moved = op.Pad(share, op.ints(back)) if any(back) else share
        before = sums[plane]
        sums[plane] = moved if before is None else op.Add(before, moved)
    # If the stride is larger than the kernel, no tap reads some of the planes: they are zero.
    used = next(value for value in sums if value is not None)
    filled = [op.Mul(used, op.number(0.0)) if value is None else value for value in sums]
    together = filled[0] if windows.stride == 1 else op.Concat(*filled, axis=0)
    return _interleaved(op, windows, together, trailing)


def _planes(op: GraphBuilder, windows: _Windows, x: ir.Value, trailing: TrailingAxes) -> ir.Value:
    """Cuts [_, size, trailing] into planes [stride, _, length, trailing], -inf past the end."""
    stride, size, length = windows.stride, windows.size, windows.length
    line = op.Reshape(x, op.ints([1, -1, size, *trailing]))
    if stride == 1:
        return line
    if size % stride:
        pads = _pads(trailing, (0, 0), (0, length * stride - size))
        line = op.Pad(line, op.ints(pads), op.number(float("-inf")))
    parts = op.Reshape(line, op.ints([-1, stride, *trailing]))
    planes = op.Transpose(parts, perm=[1, 0, *range(2, 2 + len(trailing))])
    return op.Reshape(planes, op.ints([stride, -1, length, *trailing]))


def _interleaved(
    op: GraphBuilder, windows: _Windows, planes: ir.Value, trailing: TrailingAxes
) -> ir.Value:
    """Puts planes [stride, _, length, trailing] back together: [_, size, trailing]."""
    stride, size, length = windows.stride, windows.size, windows.length
    if stride > 1:
        parts = op.Reshape(planes, op.ints([stride, -1, *trailing]))
        planes = op.Transpose(parts, perm=[1, 0, *range(2, 2 + len(trailing))])
    line = op.Reshape(planes, op.ints([-1, length * stride, *trailing]))
    if size % stride:
        line = op.Slice(line, op.ints([0]), op.ints([size]), op.ints([1]))
    return line
