"""Compares masks of Dropout and stochastic depth with PyTorch's autograd in float64."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
import torch

from scripts.reference.evaluator import Array
from scripts.reference.lowering_rule import (
    DOUBLE,
    assert_close,
    backpropagate,
    evaluate,
    gradient_node,
    numpy,
    placeholder,
    random,
)


def _nodes(op_type: str, x: Array) -> tuple[ir.Value, ir.Value, list[ir.Node]]:
    """Returns X, dY and the nodes Y = op(X), dX = MaskGrad(dY, Y)."""
    value, upstream = placeholder("X", x), placeholder("dY", x)
    outputs = ["Y", "mask"] if op_type == "Dropout" else ["Y"]
    domain = "" if op_type == "Dropout" else "train"
    forward = gradient_node(domain, op_type, [value], {}, outputs)
    forward.name = "drop"
    backward = gradient_node("train", "MaskGrad", [upstream, forward.outputs[0]], {}, ["dX"])
    return value, upstream, [forward, backward]


def _columns(width: int) -> ir.Value:
    return ir.Value(name="M", shape=ir.Shape(["N", width]), type=ir.TensorType(DOUBLE))


@pytest.mark.parametrize(
    ("op_type", "shape", "width"),
    [("Dropout", (3, 8), 8), ("Dropout", (3, 2, 4, 5), 40), ("DropPath", (3, 2, 4, 5), 1)],
)
def test_masks(op_type: str, shape: tuple[int, ...], width: int) -> None:
    x = random(*shape).requires_grad_()
    keep = 0.8
    drawn = torch.bernoulli(
        torch.full((3, width), keep), generator=torch.Generator().manual_seed(1)
    )
    mask = drawn.double() / keep
    factors = mask.reshape(shape if width > 1 else (3, *[1] * (len(shape) - 1)))
    y = x * factors
    d_y = random(*shape, seed=1)
    backpropagate(y, d_y)
    value, upstream, nodes = _nodes(op_type, numpy(x))
    columns = _columns(width)
    feeds = {value: numpy(x), upstream: numpy(d_y), columns: numpy(mask)}
    wanted = [nodes[0].outputs[0], nodes[1].outputs[0]]
    found_y, d_x = evaluate(nodes, feeds, wanted, masks={"drop": columns})
    assert_close(found_y, numpy(y))
    assert_close(d_x, numpy(x.grad))


@pytest.mark.parametrize("op_type", ["Dropout", "DropPath"])
def test_a_node_without_a_mask_is_the_identity(op_type: str) -> None:
    x, d_y = numpy(random(2, 3, 4, 4)), numpy(random(2, 3, 4, 4, seed=1))
    value, upstream, nodes = _nodes(op_type, x)
    assert nodes[0].outputs[0].name == "Y"
    identity = gradient_node("", "Identity", [nodes[0].outputs[0]], {}, ["Z"])
    back = gradient_node("", "Identity", [nodes[1].outputs[0]], {}, ["dZ"])
    wanted = [identity.outputs[0], back.outputs[0]]
    found = evaluate([*nodes, identity, back], {value: x, upstream: d_y}, wanted)
    np.testing.assert_array_equal(found[0], x)
    np.testing.assert_array_equal(found[1], d_y)


def test_a_mask_of_another_width_is_refused() -> None:
    x = numpy(random(3, 8))
    value, upstream, nodes = _nodes("Dropout", x)
    columns = _columns(7)
    feeds = {value: x, upstream: x, columns: np.ones((3, 7))}
    with pytest.raises(ValueError, match="expected a mask of 1 or 8 columns, got 7"):
        evaluate(nodes, feeds, [nodes[1].outputs[0]], masks={"drop": columns})
