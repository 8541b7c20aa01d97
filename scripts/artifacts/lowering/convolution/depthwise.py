"""Gradient of the weights of a depthwise convolution: one kernel per channel, no sum over channels.

dW[c, i, j] = sum_{n, p, q} dY[n, c, p, q] X[n, c, s p + d i - pad, s q + d j - pad]
for stride s and dilation d. These are k k sums per channel, too small to be a matrix product. They
become one by cutting lines into tiles: t columns of dY, and the s (t - 1) + d (k - 1) + 1 columns
of X that they meet. For tap row i the product of all tiles of a channel,

    G_i[q, r] = sum_{n, p, m} dY[n, c, p, t m + q] X[n, c, s p + d i - pad, s t m + r - pad],

m the number of the tile, holds dW[c, i, j] as the sum of entries, a diagonal: r = s q + d j.
This costs one copy of X with a little overlap; shifts would cost k k copies. Some entries of G are
computed and not read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from scripts.artifacts.graph_builder import Array, GraphBuilder
from scripts.artifacts.lowering.convolution.geometry import Convolution

TILE_COLUMNS = 16
"""Largest number of dY's columns in a tile. Wider tiles compute more entries that are not read."""

SMALLEST_TILE = 8


def suits(conv: Convolution) -> bool:
    """Tells if each channel has a kernel of its own, larger than one pixel."""
    depthwise = 1 < conv.group == conv.in_channels == conv.out_channels
    return depthwise and conv.kernel != (1, 1)


@dataclass(frozen=True)
class _Tiling:
    """How the columns are cut.

    Attributes:
        tiles: number of tiles of a line.
        width: t, the columns of dY in a tile.
        step: columns of X from one tile to the next.
        reach: columns of X that a tile meets.
    """

    tiles: int
    width: int
    step: int
    reach: int

    @staticmethod
    def of(conv: Convolution) -> _Tiling:
        columns = conv.out_size[1]
        width = columns
        if columns > TILE_COLUMNS:
            # The fewest columns to fill the last tile up; of equal ones, the widest tile.
            sizes = range(TILE_COLUMNS, SMALLEST_TILE - 1, -1)
            width = min(sizes, key=lambda size: -columns % size)
        reach = conv.strides[1] * (width - 1) + conv.dilations[1] * (conv.kernel[1] - 1) + 1
        return _Tiling(-(-columns // width), width, conv.strides[1] * width, reach)


def weight_grad(op: GraphBuilder, conv: Convolution, d_y: ir.Value, x: ir.Value) -> ir.Value:
    """Returns dW [C, 1, kh, kw] from dY [N, C, P, Q] and X [N, C, H, W]."""
    tiling = _Tiling.of(conv)
    channels, (rows, _) = conv.out_channels, conv.out_size
    upstream = _output_tiles(op, conv, tiling, d_y)
    blocks = _input_tiles(op, conv, tiling, x)
    entries = tiling.width * tiling.reach
    products = []
    for i in range(conv.kernel[0]):
        begin = i * conv.dilations[0]
        end = begin + conv.strides[0] * (rows - 1) + 1
        seen = op.Slice(
            blocks, op.ints([begin]), op.ints([end]), op.ints([2]), op.ints([conv.strides[0]])
        )
        product = op.MatMul(upstream, op.Reshape(seen, op.ints([channels, -1, tiling.reach])))
        products.append(op.Reshape(product, op.ints([channels, 1, entries])))
    together = products[0] if len(products) == 1 else op.Concat(*products, axis=1)
    lines = op.Reshape(together, op.ints([channels * conv.kernel[0], entries]))
    sums = op.MatMul(lines, op.number(_diagonals(conv, tiling)))
    return op.Reshape(sums, op.ints([channels, 1, *conv.kernel]))


def _output_tiles(op: GraphBuilder, conv: Convolution, tiling: _Tiling, d_y: ir.Value) -> ir.Value:
    """Returns dY as [C, t, N P tiles]; columns that fill the last tile up are 0."""
    channel_major = op.Transpose(d_y, perm=[1, 0, 2, 3])
    extra = tiling.tiles * tiling.width - conv.out_size[1]
    if extra:
        channel_major = op.Pad(channel_major, op.ints([0, 0, 0, 0, 0, 0, 0, extra]))
    lines = op.Reshape(channel_major, op.ints([conv.out_channels, -1, tiling.width]))
    return op.Transpose(lines, perm=[0, 2, 1])


def _input_tiles(op: GraphBuilder, conv: Convolution, tiling: _Tiling, x: ir.Value) -> ir.Value:
    """Returns X, padded, as overlapping tiles [C, N, H + pads, tiles, reach].

    The lines are cut into pieces of ``step`` columns. A tile is its piece and the beginning of as
    many of the next ones as it reaches into.
    """
    top, left, bottom, _ = conv.pads
    overlap = tiling.reach - tiling.step
    further = -(-max(overlap, 0) // tiling.step) if tiling.tiles > 1 else 0
    pieces = tiling.tiles + further
    piece = tiling.step if tiling.tiles > 1 else tiling.reach
    right = pieces * piece - conv.in_size[1] - left
    padded = op.Pad(
        op.Transpose(x, perm=[1, 0, 2, 3]), op.ints([0, 0, top, left, 0, 0, bottom, right])
    )
    height = conv.in_size[0] + top + bottom
    grid = op.Reshape(padded, op.ints([conv.in_channels, -1, height, pieces, piece]))
    if tiling.tiles == 1:
        return grid
    if overlap <= 0:
        return grid if overlap == 0 else _cut(op, grid, (0, tiling.tiles), tiling.reach)
    parts = [_cut(op, grid, (0, tiling.tiles), piece)]
    for k in range(1, further + 1):
        parts.append(_cut(op, grid, (k, k + tiling.tiles), min(overlap - (k - 1) * piece, piece)))
    return op.Concat(*parts, axis=4)


def _cut(op: GraphBuilder, grid: ir.Value, pieces: tuple[int, int], columns: int) -> ir.Value:
    """Returns the first columns of some of the pieces of [C, N, H, pieces, columns]."""
    return op.Slice(grid, op.ints([pieces[0], 0]), op.ints([pieces[1], columns]), op.ints([3, 4]))


def _diagonals(conv: Convolution, tiling: _Tiling) -> Array:
    """Returns D [t reach, kw]: D[q reach + r, j] = 1 where r = s q + d j, else 0."""
    found = np.zeros((tiling.width, tiling.reach, conv.kernel[1]))
    for q in range(tiling.width):
        for j in range(conv.kernel[1]):
            found[q, conv.strides[1] * q + conv.dilations[1] * j, j] = 1
    return found.reshape(-1, conv.kernel[1])
