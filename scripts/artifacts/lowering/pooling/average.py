"""Average pooling as products with constant matrices.

Along one axis, A[p, h] is 1 / n where window p, of n places, holds place h, and else 0. A window's
mean over rows and columns is then Y = A_rows X A_columns^T, and the gradient is the transposed map,
dX = A_rows^T dY A_columns. This holds with padding, overlap and windows that reach past the end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from scripts.artifacts.graph_builder import Array, GraphBuilder, fixed, static_shape
from scripts.artifacts.lowering.rule import Inputs, Outputs


@dataclass(frozen=True)
class _Line:
    """The windows along one axis: window p begins at p stride - pads[0].

    Attributes:
        ceil: a last window that begins inside of X or of its padding may reach past the end.
        count_pad: padding counts as places that hold 0.
    """

    kernel: int
    stride: int
    pads: tuple[int, int]
    size: int
    ceil: bool
    count_pad: bool

    @property
    def out_size(self) -> int:
        """Number of windows, as PyTorch counts them."""
        room = self.size + sum(self.pads) - self.kernel
        windows = (-(-room // self.stride) if self.ceil else room // self.stride) + 1
        last_begins_outside = (windows - 1) * self.stride >= self.size + self.pads[0]
        return windows - 1 if self.ceil and last_begins_outside else windows

    @property
    def reaches_past_the_end(self) -> bool:
        """True if the last window holds places that are neither X nor padding."""
        return (self.out_size - 1) * self.stride + self.kernel > self.size + sum(self.pads)

    @property
    def tiles(self) -> bool:
        """True if the windows hold every place once."""
        return self.stride == self.kernel and self.out_size * self.kernel == self.size

    def matrix(self) -> Array:
        """Returns A [out_size, size]."""
        found = np.zeros((self.out_size, self.size))
        for p in range(self.out_size):
            begin = p * self.stride - self.pads[0]
            end = min(begin + self.kernel, self.size + self.pads[1])
            inside = slice(max(begin, 0), min(end, self.size))
            count = end - begin if self.count_pad else inside.stop - inside.start
            found[p, inside] = 1 / count
        return found

    @staticmethod
    def of(pool: ir.Node, x: ir.Value | None) -> tuple[_Line, _Line]:
        """Returns the windows along rows and along columns."""
        attributes = pool.attributes
        auto_pad = attributes.get_string("auto_pad", "NOTSET")
        if auto_pad not in ("NOTSET", ""):
            raise NotImplementedError(f"expected explicit pads, got auto_pad={auto_pad}")
        pads = list(attributes.get_ints("pads", (0, 0, 0, 0)))
        lines = [
            _Line(
                kernel=list(attributes.get_ints("kernel_shape"))[axis],
                stride=list(attributes.get_ints("strides", (1, 1)))[axis],
                pads=(pads[axis], pads[axis + 2]),
                size=fixed(static_shape(x)[2 + axis]),
                ceil=bool(attributes.get_int("ceil_mode", 0)),
                count_pad=bool(attributes.get_int("count_include_pad", 0)),
            )
            for axis in (0, 1)
        ]
        return lines[0], lines[1]


def average_pool(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers AveragePool(X) -> Y: to itself, unless a window reaches past the end.

    Runtimes differ in the number of places of such a window. Here it is PyTorch's.
    """
    rows, columns = _Line.of(node, node.inputs[0])
    if not (rows.reaches_past_the_end or columns.reaches_past_the_end):
        return op.copy(node, inputs)
    across = op.MatMul(inputs[0], op.number(columns.matrix().T))
    return [op.MatMul(op.number(rows.matrix()), across)]


def average_pool_grad(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers AveragePoolGrad(dY, X) -> dX = A_rows^T dY A_columns.

    Windows that hold every place once copy dY / n instead, which is a pass over X.
    """
    d_y = inputs[0]
    rows, columns = _Line.of(node, node.inputs[1])
    if not (rows.tiles and columns.tiles):
        across = op.MatMul(d_y, op.number(columns.matrix()))
        return [op.MatMul(op.number(rows.matrix().T), across)]
    channels = fixed(static_shape(node.inputs[1])[1])
    windows = [rows.out_size, columns.out_size]
    share = op.Div(d_y, op.beside(float(rows.kernel * columns.kernel), node.inputs[0]))
    apart = op.Reshape(share, op.ints([-1, windows[0], 1, windows[1], 1]))
    shape = op.ints([1, windows[0], rows.kernel, windows[1], columns.kernel])
    return [op.Reshape(op.Expand(apart, shape), op.ints([-1, channels, rows.size, columns.size]))]
