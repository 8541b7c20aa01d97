"""Compares the rules of activations with PyTorch's autograd: in float64, also at the kinks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import onnx_ir as ir
import pytest
import torch
import torch.nn.functional as F

from scripts.artifacts.graph_builder import GraphBuilder
from scripts.artifacts.lowering import lower
from scripts.reference.evaluator import Array
from scripts.reference.lowering_rule import (
    DOUBLE,
    MS,
    assert_close,
    backpropagate,
    evaluate,
    evaluate_single,
    gradient_node,
    numpy,
    placeholder,
    random,
)

SIXTH = float(np.float32(1 / 6))
"""HardSigmoid's alpha as PyTorch's exporter writes it."""


class Gradient(NamedTuple):
    """A gradient operator and the PyTorch function that it belongs to.

    Attributes:
        reads: the value that it reads beside dY.
        kinks: places where the slope jumps.
        constants: further inputs; None for one that is left out.
    """

    function: Callable[[torch.Tensor], torch.Tensor]
    reads: str
    kinks: tuple[float, ...] = ()
    attributes: Mapping[str, float] = MappingProxyType({})
    constants: tuple[float | None, ...] = ()


GRADIENTS = {
    "relu": (MS, "ReluGrad", Gradient(F.relu, "y", (0.0,))),
    "relu6": ("train", "ClipGrad", Gradient(F.relu6, "y", (0.0, 6.0), {}, (0.0, 6.0))),
    "hardtanh": (
        "train",
        "ClipGrad",
        Gradient(lambda x: F.hardtanh(x, -1.5, 0.25), "y", (-1.5, 0.25), {}, (-1.5, 0.25)),
    ),
    "clip from below": (
        "train",
        "ClipGrad",
        Gradient(lambda x: x.clamp(min=0.5), "y", (), {}, (0.5,)),
    ),
    "clip from above": (
        "train",
        "ClipGrad",
        Gradient(lambda x: x.clamp(max=0.5), "y", (), {}, (None, 0.5)),
    ),
    "leaky relu": (
        "train",
        "LeakyReluGrad",
        Gradient(lambda x: F.leaky_relu(x, 0.1), "x", (0.0,), {"alpha": 0.1}),
    ),
    "steep leaky relu": (
        "train",
        "LeakyReluGrad",
        Gradient(lambda x: F.leaky_relu(x, 1.5), "x", (0.0,), {"alpha": 1.5}),
    ),
    "elu": ("train", "EluGrad", Gradient(lambda x: F.elu(x, 0.7), "x", (0.0,), {"alpha": 0.7})),
    "hard sigmoid": (
        "train",
        "HardSigmoidGrad",
        Gradient(F.hardsigmoid, "y", (-3.0, 3.0), {"alpha": SIXTH, "beta": 0.5}),
    ),
    "hard swish": ("train", "HardSwishGrad", Gradient(F.hardswish, "x", (-3.0, 3.0, 0.0))),
    "sigmoid": ("train", "SigmoidGrad", Gradient(torch.sigmoid, "y")),
    "tanh": ("train", "TanhGrad", Gradient(torch.tanh, "y")),
    "swish": ("train", "SwishGrad", Gradient(F.silu, "x", (0.0,))),
    "gelu": ("train", "GeluGrad", Gradient(F.gelu, "x", (0.0,))),
}

FORWARD: dict[str, tuple[str, Callable[[torch.Tensor], torch.Tensor], dict[str, float]]] = {
    "HardSigmoid": ("", F.hardsigmoid, {"alpha": SIXTH, "beta": 0.5}),
    "HardSwish": ("", F.hardswish, {}),
    "Swish": ("train", F.silu, {}),
    "Gelu": ("train", F.gelu, {}),
}


def _values(kinks: tuple[float, ...], shape: tuple[int, ...] = (3, 4, 5, 5)) -> torch.Tensor:
    """Returns random values, the kinks and, beside each, a float32 close by on both sides."""
    x = random(*shape) * 3
    near = [
        float(np.nextafter(np.float32(k), np.float32(to))) if k else to * 1e-31
        for k in kinks
        for to in (-10.0, 10.0)
    ]
    special = torch.tensor([*kinks, *near], dtype=torch.double)
    x.view(-1)[: len(special)] = special
    return x.requires_grad_()


def _constant(value: float) -> ir.Value:
    return ir.Value(
        name=f"c{value}",
        shape=ir.Shape([]),
        type=ir.TensorType(DOUBLE),
        const_value=ir.tensor(np.array(value)),
    )


def _case(name: str, shape: tuple[int, ...]) -> tuple[ir.Node, dict[ir.Value, Array], torch.Tensor]:
    """Returns the gradient node, its inputs, and PyTorch's gradient."""
    domain, op_type, gradient = GRADIENTS[name]
    x = _values(gradient.kinks, shape)
    y = gradient.function(x)
    d_y = random(*x.shape, seed=1)
    backpropagate(y, d_y)
    read = numpy(y if gradient.reads == "y" else x)
    values = [placeholder("dY", numpy(d_y)), placeholder("V", read)]
    constants = [None if c is None else _constant(c) for c in gradient.constants]
    node = gradient_node(domain, op_type, [*values, *constants], gradient.attributes, ["dX"])
    feeds = dict(zip(values, [numpy(d_y), read], strict=True))
    feeds |= {c: c.const_value.numpy() for c in constants if c is not None and c.const_value}
    assert x.grad is not None
    return node, feeds, x.grad


@pytest.mark.parametrize("shape", [(3, 4, 5, 5), (2, 30, 1, 1), (2, 30)])
@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient(name: str, shape: tuple[int, ...]) -> None:
    node, feeds, expected = _case(name, shape)
    (d_x,) = evaluate([node], feeds, node.outputs)
    assert_close(d_x, numpy(expected))


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient_in_single_precision(name: str) -> None:
    """Computes the graphs' own form with ONNX Runtime: HardSigmoid's alpha is a float32 there."""
    node, feeds, expected = _case(name, (3, 4, 5, 5))
    found = evaluate_single([node], feeds)[0]
    assert_close(found, numpy(expected), rtol=2e-6, atol=2e-6)


def _forward(name: str, shape: tuple[int, ...]) -> tuple[ir.Node, dict[ir.Value, Array], Array]:
    """Returns the node, its input, and PyTorch's result."""
    domain, function, attributes = FORWARD[name]
    x = _values((-3.0, 3.0), shape)
    value = placeholder("X", numpy(x))
    node = gradient_node(domain, name, [value], attributes, ["Y"])
    return node, {value: numpy(x)}, numpy(function(x))


@pytest.mark.parametrize("shape", [(3, 4, 5, 5), (2, 30, 1, 1), (2, 30)])
@pytest.mark.parametrize("name", FORWARD)
def test_forward(name: str, shape: tuple[int, ...]) -> None:
    node, feeds, expected = _forward(name, shape)
    (y,) = evaluate([node], feeds, node.outputs)
    assert_close(y, expected)


@pytest.mark.parametrize("name", FORWARD)
def test_forward_in_single_precision(name: str) -> None:
    node, feeds, expected = _forward(name, (3, 4, 5, 5))
    (y,) = evaluate_single([node], feeds)
    assert_close(y, expected, rtol=2e-6, atol=2e-6)


def test_no_clip_hands_the_gradient_through() -> None:
    upstream, y = (placeholder(name, np.ones((2, 3))) for name in ("dY", "Y"))
    node = gradient_node("train", "ClipGrad", [upstream, y], {}, ["dX"])
    op = GraphBuilder()
    op.values = {upstream: upstream, y: y}
    lower(op, [node])
    assert op.nodes == [] and op.lowered(node.outputs[0]) is upstream


def test_forward_and_gradient_share_what_they_can() -> None:
    """Checks that Swish's sigmoid is computed once."""
    x = placeholder("X", np.zeros((1, 2, 3, 3)))
    upstream = placeholder("dY", np.zeros((1, 2, 3, 3)))
    nodes = [
        gradient_node("train", "Swish", [x], {}, ["Y"]),
        gradient_node("train", "SwishGrad", [upstream, x], {}, ["dX"]),
    ]
    op = GraphBuilder()
    op.values = {x: x, upstream: upstream}
    lower(op, nodes)
    assert [node.op_type for node in op.nodes].count("Sigmoid") == 1


@pytest.mark.parametrize("slopes", [(1,), (4, 1, 1)])
def test_prelu_grad(slopes: tuple[int, ...]) -> None:
    x = _values((0.0,))
    slope = random(slopes[0], seed=2).requires_grad_()
    y = F.prelu(x, slope)
    d_y = random(*x.shape, seed=1)
    backpropagate(y, d_y)
    arrays = [numpy(d_y), numpy(x), numpy(slope).reshape(slopes)]
    values = [placeholder(name, a) for name, a in zip(("dY", "X", "a"), arrays, strict=True)]
    node = gradient_node("train", "PReluGrad", values, {}, ["dX", "da"])
    d_x, d_slope = evaluate([node], dict(zip(values, arrays, strict=True)), node.outputs)
    assert slope.grad is not None
    assert_close(d_x, numpy(x.grad))
    assert_close(d_slope, numpy(slope.grad).reshape(slopes))
