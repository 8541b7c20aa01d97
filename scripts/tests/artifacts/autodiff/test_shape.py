"""Gradients of operators that move values, against PyTorch's autograd in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from scripts.artifacts.errors import NetworkError
from scripts.reference.evaluator import Array
from scripts.reference.gradient_rule import gradients, learning


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


MOVES: list[tuple[str, list[Array], dict[str, Any], Callable[[torch.Tensor], torch.Tensor]]] = [
    ("Flatten", [], {"axis": 1}, lambda x: x.flatten(1)),
    ("Reshape", [ints(-1, 12, 5)], {}, lambda x: x.reshape(-1, 12, 5)),
    ("Squeeze", [ints(2)], {}, lambda x: x[:, :, :1].squeeze(2)),
    ("Unsqueeze", [ints(1)], {}, lambda x: x.unsqueeze(1)),
    ("Transpose", [], {"perm": [0, 2, 3, 1]}, lambda x: x.permute(0, 2, 3, 1)),
    ("Identity", [], {}, lambda x: x + 0),
]


@pytest.mark.parametrize(("op_type", "rest", "attributes", "function"), MOVES)
def test_move(
    op_type: str,
    rest: list[Array],
    attributes: dict[str, Any],
    function: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    x = learning(2, 3, 1 if op_type == "Squeeze" else 4, 5)
    gradients(op_type, [x, *rest], function(x), attributes)


@pytest.mark.parametrize("axis", [1, -1])
def test_concat(axis: int) -> None:
    shapes = [(2, 3, 4, 5), (2, 3, 4, 5), (2, 3, 4, 5)]
    parts = [learning(*shape, seed=k) for k, shape in enumerate(shapes)]
    gradients("Concat", parts, torch.cat(parts, axis), {"axis": axis})


def test_split() -> None:
    x = learning(2, 6, 4, 5)
    gradients("Split", [x, ints(1, 2, 3)], torch.split(x, [1, 2, 3], 1), {"axis": 1})


SLICES: list[tuple[Sequence[int], Sequence[int], Sequence[int], Sequence[int] | None]] = [
    ([1], [3], [2], None),
    ([-3], [2**62], [3], None),
    ([1, 0], [3, 2], [2, 3], [1, 1]),
    ([0], [2**62], [2], [2]),
    ([1], [2**62], [3], [2]),
    ([1, 1], [7, 8], [2, 3], [2, 3]),
    ([-1], [-(2**62)], [3], [-1]),
    ([5], [0], [3], [-2]),
]


@pytest.mark.parametrize(("starts", "ends", "axes", "steps"), SLICES)
def test_slice(
    starts: Sequence[int], ends: Sequence[int], axes: Sequence[int], steps: Sequence[int] | None
) -> None:
    x = learning(2, 3, 7, 8)
    y: torch.Tensor = x
    for start, end, axis, step in zip(starts, ends, axes, steps or [1] * len(axes), strict=True):
        kept = list(range(x.shape[axis]))[start : max(end, -100) if step > 0 else None : step]
        if step < 0 and end >= 0:
            kept = list(range(x.shape[axis]))[start:end:step]
        y = y.index_select(axis, torch.tensor(kept))
    bounds = [ints(*starts), ints(*ends), ints(*axes)]
    gradients("Slice", [x, *bounds, *([] if steps is None else [ints(*steps)])], y)


@pytest.mark.parametrize("pads", [(0, 0, 1, 2, 0, 0, 3, 0), (0, 1, 0, 0, 0, 0, 0, 2)])
def test_pad(pads: tuple[int, ...]) -> None:
    x = learning(2, 3, 4, 5)
    begin, end = pads[:4], pads[4:]
    widths = [w for k in (3, 2, 1, 0) for w in (begin[k], end[k])]
    gradients("Pad", [x, ints(*pads)], F.pad(x, widths), {"mode": "constant"})


def test_pad_that_cuts() -> None:
    x = learning(2, 3, 4, 5)
    pads = ints(0, 0, -1, 0, 0, 0, 1, -2)
    gradients("Pad", [x, pads], F.pad(x, (0, -2, -1, 1)), {"mode": "constant"})


def test_pad_by_reflection_is_refused() -> None:
    x = learning(2, 3, 4, 5)
    y = F.pad(x, (1, 1, 1, 1), "reflect")
    with pytest.raises(NetworkError, match=r"expected constant padding .* got mode reflect"):
        gradients("Pad", [x, ints(0, 0, 1, 1, 0, 0, 1, 1)], y, {"mode": "reflect"})


@pytest.mark.parametrize("axis", [1, 2])
def test_gather_of_one_index(axis: int) -> None:
    x = learning(2, 3, 4, 5)
    gradients("Gather", [x, np.array(-1)], x.select(axis, -1), {"axis": axis})
    x = learning(2, 3, 4, 5)
    y = x.index_select(axis, torch.tensor([1]))
    gradients("Gather", [x, ints(1)], y, {"axis": axis})


def test_gather_of_a_table_that_learns() -> None:
    table = learning(5, 3)
    index = np.array([[0, 4, 4], [2, 0, 0]])
    gradients("Gather", [table, index], table[torch.from_numpy(index)], {"axis": 0})


def test_gather_of_several_indices() -> None:
    x, index = learning(2, 3, 4, 5), [2, 0, 2, 1]
    gradients("Gather", [x, ints(*index)], x[:, :, index], {"axis": 2})


def test_expand_sums_over_what_it_repeated() -> None:
    x = learning(1, 3, 1)
    gradients("Expand", [x, ints(2, 3, 4)], x.expand(2, 3, 4))


def test_expand_to_more_dimensions() -> None:
    x = learning(3, 1)
    gradients("Expand", [x, ints(2, 3, 4)], x.expand(2, 3, 4))


RESIZES = [
    ("nearest", (8, 10), {"nearest_mode": "floor"}, "asymmetric"),
    ("linear", (8, 10), {}, "half_pixel"),
    ("linear", (6, 9), {}, "half_pixel"),
]


@pytest.mark.parametrize(("mode", "size", "attributes", "transformation"), RESIZES)
def test_resize(
    mode: str, size: tuple[int, int], attributes: dict[str, Any], transformation: str
) -> None:
    x = learning(2, 3, 4, 5)
    names = {"nearest": "nearest", "linear": "bilinear"}
    corners = {} if mode == "nearest" else {"align_corners": False}
    y = F.interpolate(x, size, mode=names[mode], **corners)
    given = {"mode": mode, "coordinate_transformation_mode": transformation, **attributes}
    gradients("Resize", [x, None, None, ints(2, 3, *size)], y, given)
