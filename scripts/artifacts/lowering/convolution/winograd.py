"""3x3 convolutions of stride 1 by Winograd's minimal filtering: 16 products instead of 36.

Four inputs x of a line and three weights w give two outputs y = A^T [(G w) * (B^T x)], with 4
products instead of 6. Applied to rows and columns, a 4x4 tile of X and a 3x3 kernel give a 2x2
tile of Y with 16 products. Summed over channels, these are 16 matrix products,

    V[a, b] = B^T X B,  U[a, b] = G W G^T,  M[a, b] = sum_c V_c U_c,  Y = A^T M A,

and both gradients are the transposed maps: dM = A dY A^T, dX = B (sum_o dM_o U_o) B^T and
dW = G^T (sum_tiles dM V) G. The result is the same sum in another order.
Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (2015), F(2x2, 3x3).

One matrix holds the transforms of all tiles of a line, with zeros outside of the map. So padding,
cutting into tiles and transforming X, Y, dX and dY together are small Gemms.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from scripts.artifacts.graph_builder import Array, GraphBuilder
from scripts.artifacts.lowering.convolution.geometry import Convolution

INPUT = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], dtype=np.float64)
KERNEL = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], dtype=np.float64)
OUTPUT = np.array([[1, 0], [1, 1], [1, -1], [0, -1]], dtype=np.float64)
"""INPUT is B^T [4, 4], KERNEL is G [4, 3] and OUTPUT is A [4, 2] of the formulas above."""

TILE, POINTS = 2, 4

ONE_STEP_PIXELS = 64
"""Maps of up to this many pixels are transformed by one Gemm, larger ones by one per axis."""

TRANSFORM_COST = 2.5
"""Cost of a multiplication in the transforms, relative to one in the large products (measured)."""


def suits(conv: Convolution) -> bool:
    """Tells if the saved products outweigh the transforms, as on small maps of many channels."""
    fits = (
        conv.kernel == (3, 3)
        and conv.strides == conv.dilations == (1, 1)
        and conv.group == 1
        and max(conv.pads) <= conv.kernel[0] - 1
    )
    if not fits:
        return False
    tiles = [_tiles(size) for size in conv.out_size]
    products = conv.in_channels * conv.out_channels
    saved = products * (9 * np.prod(conv.out_size) - POINTS**2 * np.prod(tiles))
    per_channel = sum(
        np.prod([POINTS * t for t in tiles]) * np.prod(size)
        if _one_step(size)
        else POINTS * tiles[1] * (size[0] * size[1] + POINTS * tiles[0] * size[0])
        for size in (conv.in_size, conv.out_size)
    )
    transforms = (conv.in_channels + conv.out_channels) / 2 * per_channel
    return bool(saved > TRANSFORM_COST * transforms)


def forward(op: GraphBuilder, conv: Convolution, x: ir.Value, weight: ir.Value) -> ir.Value:
    """Returns Y [N, O, P, Q] from X [N, C, H, W] and W [O, C, 3, 3]."""
    products = op.MatMul(
        _input(op, conv, x), op.Transpose(_kernel(op, conv, weight), perm=[0, 2, 1])
    )
    return _collect(op, products, *_output_lines(conv))


def gradients(
    op: GraphBuilder, conv: Convolution, d_y: ir.Value, x: ir.Value, weight: ir.Value
) -> tuple[ir.Value, ir.Value]:
    """Returns dX and dW; reuses V and U of the forward pass."""
    d_products = _spread(op, d_y, *_output_lines(conv))
    d_x = _collect(op, op.MatMul(d_products, _kernel(op, conv, weight)), *_input_lines(conv))
    d_kernel = op.MatMul(op.Transpose(d_products, perm=[0, 2, 1]), _input(op, conv, x))
    flat = op.Reshape(d_kernel, op.ints([POINTS**2, conv.out_channels * conv.in_channels]))
    d_weight = op.Gemm(flat, op.number(np.kron(KERNEL, KERNEL)), transA=1)
    shape = [conv.out_channels, conv.in_channels, *conv.kernel]
    return d_x, op.Reshape(d_weight, op.ints(shape))


def _input(op: GraphBuilder, conv: Convolution, x: ir.Value) -> ir.Value:
    """Returns V [16, tiles N, C]."""
    return op.memoize(("winograd input", x), lambda: _spread(op, x, *_input_lines(conv)))


def _kernel(op: GraphBuilder, conv: Convolution, weight: ir.Value) -> ir.Value:
    """Returns U [16, O, C]."""

    def transform() -> ir.Value:
        taps = op.Reshape(weight, op.ints([conv.out_channels * conv.in_channels, 9]))
        flat = op.Gemm(op.number(np.kron(KERNEL, KERNEL)), taps, transB=1)
        return op.Reshape(flat, op.ints([POINTS**2, conv.out_channels, conv.in_channels]))

    return op.memoize(("winograd kernel", weight), transform)


def _tiles(out_size: int) -> int:
    return -(-out_size // TILE)


def _one_step(size: tuple[int, int]) -> bool:
    return size[0] * size[1] <= ONE_STEP_PIXELS


def _input_lines(conv: Convolution) -> tuple[int, Array, Array]:
    """Returns the input's channels and its transforms of rows and columns, each [4, tiles, size].

    Tile k reads four places, beginning at 2 k - pad.
    """
    lines = []
    for axis in (0, 1):
        tiles, pad = _tiles(conv.out_size[axis]), conv.pads[axis]
        padded = np.zeros((POINTS, tiles, pad + conv.in_size[axis] + TILE + POINTS))
        for k in range(tiles):
            padded[:, k, TILE * k : TILE * k + POINTS] = INPUT
        lines.append(padded[:, :, pad : pad + conv.in_size[axis]])
    return conv.in_channels, lines[0], lines[1]


def _output_lines(conv: Convolution) -> tuple[int, Array, Array]:
    """Returns the output's channels and its transforms of rows and columns, each [4, tiles, size].

    Tile k writes the places 2 k and 2 k + 1.
    """
    lines = []
    for size in conv.out_size:
        padded = np.zeros((POINTS, _tiles(size), size + TILE))
        for k in range(_tiles(size)):
            padded[:, k, TILE * k : TILE * (k + 1)] = OUTPUT
        lines.append(padded[:, :, :size])
    return conv.out_channels, lines[0], lines[1]


def _spread(
    op: GraphBuilder, image: ir.Value, channels: int, rows: Array, columns: Array
) -> ir.Value:
    """Transforms [N, C, H, W] to [16, tiles N, C].

    Point (a, b) of tile (k, l) is sum_{h, w} rows[a, k, h] columns[b, l, w] image[n, c, h, w].
    """
    (_, tiles, height), width = rows.shape, columns.shape[2]
    if _one_step((height, width)):
        pixels = op.Reshape(image, op.ints([-1, height * width]))
        spread = op.Gemm(op.number(_plane(rows, columns)), pixels, transB=1)
    else:
        lines = op.Reshape(image, op.ints([-1, width]))
        across = op.Gemm(op.number(columns.reshape(-1, width)), lines, transB=1)
        lines = op.Reshape(across, op.ints([-1, height]))
        down = op.Gemm(op.number(rows.reshape(-1, height)), lines, transB=1)
        spread = _swap_tile_axes(op, op.Reshape(down, op.ints([POINTS, tiles, POINTS, -1])))
    return op.Reshape(spread, op.ints([POINTS**2, -1, channels]))


def _collect(
    op: GraphBuilder, points: ir.Value, channels: int, rows: Array, columns: Array
) -> ir.Value:
    """Applies the transposed map of ``_spread``: [16, tiles N, C] to [N, C, H, W]."""
    (_, tiles, height), width = rows.shape, columns.shape[2]
    if _one_step((height, width)):
        plane = _plane(rows, columns)
        flat = op.Reshape(points, op.ints([plane.shape[0], -1]))
        pixels = op.Gemm(flat, op.number(plane), transA=1)
    else:
        exchanged = _swap_tile_axes(op, op.Reshape(points, op.ints([POINTS, POINTS, tiles, -1])))
        flat = op.Reshape(exchanged, op.ints([POINTS * tiles, -1]))
        down = op.Gemm(flat, op.number(rows.reshape(-1, height)), transA=1)
        flat = op.Reshape(down, op.ints([columns.shape[0] * columns.shape[1], -1]))
        pixels = op.Gemm(flat, op.number(columns.reshape(-1, width)), transA=1)
    return op.Reshape(pixels, op.ints([-1, channels, height, width]))


def _swap_tile_axes(op: GraphBuilder, value: ir.Value) -> ir.Value:
    """Swaps [a, k, b, ...] and [a, b, k, ...]."""
    return op.Transpose(value, perm=[0, 2, 1, 3])


def _plane(rows: Array, columns: Array) -> Array:
    """Returns the transform of rows and columns as one matrix [16 tiles, H W]."""
    together: Array = np.einsum("akh,blw->abklhw", rows, columns)
    return together.reshape(-1, rows.shape[2] * columns.shape[2])
