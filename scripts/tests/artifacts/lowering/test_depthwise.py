"""Compares the depthwise convolution's gradients with PyTorch's autograd in float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from scripts.artifacts.graph_builder import GraphBuilder
from scripts.artifacts.lowering import lower
from scripts.artifacts.lowering.gpu.table import GPU_RULES
from scripts.reference.lowering_rule import (
    MS,
    assert_close,
    backpropagate,
    evaluate,
    gradient_node,
    numpy,
    placeholder,
    random,
)

Pads = tuple[int, int, int, int]

DEPTHWISE: list[tuple[int, int, Pads, int, int, int, int]] = [
    # kernel, stride, pads (top, left, bottom, right), dilation, channels, height, width
    (3, 1, (1, 1, 1, 1), 1, 5, 7, 9),
    (3, 2, (0, 0, 1, 1), 1, 5, 8, 8),
    (3, 2, (1, 1, 1, 1), 1, 4, 9, 7),
    (5, 1, (2, 2, 2, 2), 1, 3, 7, 7),
    (5, 2, (1, 1, 2, 2), 1, 3, 28, 56),
    (5, 2, (2, 2, 2, 2), 1, 3, 14, 14),
    (3, 1, (1, 1, 1, 1), 1, 3, 28, 28),
    (3, 2, (0, 0, 1, 1), 1, 2, 56, 112),
    (3, 1, (2, 2, 2, 2), 2, 2, 28, 28),
    (3, 2, (4, 4, 4, 4), 4, 2, 40, 40),
    (7, 1, (3, 3, 3, 3), 1, 2, 56, 56),
    (3, 3, (0, 0, 0, 0), 1, 2, 30, 90),
    (2, 2, (0, 0, 0, 0), 1, 2, 64, 64),
    (1, 2, (0, 0, 0, 0), 1, 2, 5, 40),
    (3, 1, (1, 1, 1, 1), 1, 2, 17, 17),
    (3, 1, (1, 1, 1, 1), 1, 2, 19, 38),
    (3, 2, (1, 1, 1, 1), 1, 2, 38, 75),
    (3, 1, (0, 0, 0, 0), 1, 2, 40, 31),
    (13, 1, (6, 6, 6, 6), 2, 2, 30, 34),
]


@dataclass(frozen=True)
class Case:
    """A convolution.

    Attributes:
        kernel: its size, stride and dilation.
        pads: top, left, bottom, right.
        shape: of X.
        weights: output channels, and input channels per group.
    """

    kernel: tuple[int, int, int]
    pads: Pads
    shape: tuple[int, int, int, int]
    weights: tuple[int, int]


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("geometry", DEPTHWISE)
def test_depthwise(
    geometry: tuple[int, int, Pads, int, int, int, int], batch: int, gpu: bool
) -> None:
    kernel, stride, pads, dilation, channels, height, width = geometry
    shape = (batch, channels, height, width)
    compare(Case((kernel, stride, dilation), pads, shape, (channels, 1)), gpu)


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("channels", [(2, 6, 4), (3, 3, 6), (4, 8, 8), (6, 6, 6)])
@pytest.mark.parametrize("kernel", [(1, 1, 1), (1, 2, 1), (3, 1, 1), (3, 2, 1)])
@pytest.mark.parametrize(("size", "pads"), [(7, (0, 0, 1, 1)), (24, (1, 0, 0, 1))])
def test_groups_and_uneven_pads(
    channels: tuple[int, int, int], kernel: tuple[int, int, int], size: int, pads: Pads, gpu: bool
) -> None:
    """Includes a channel multiplier: groups of one input channel and two output channels."""
    groups, in_channels, out_channels = channels
    shape = (2, in_channels, size, size + 1)
    compare(Case(kernel, pads, shape, (out_channels, in_channels // groups)), gpu)


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize(("channels", "size"), [(3, 32), (5, 9), (5, 24)])
@pytest.mark.parametrize("stride", [1, 2])
def test_uneven_pads_without_groups(channels: int, size: int, stride: int, gpu: bool) -> None:
    """Compares a convolution as TensorFlow pads it, for each method of the weights' gradient."""
    shape = (2, channels, size, size)
    compare(Case((3, stride, 1), (0, 0, 1, 1), shape, (4, channels)), gpu)


def compare(case: Case, gpu: bool) -> None:
    """Compares dX, dW and dB with PyTorch."""
    size, stride, dilation = case.kernel
    groups = case.shape[1] // case.weights[1]
    x = random(*case.shape).requires_grad_()
    weight = random(*case.weights, size, size, seed=1).requires_grad_()
    bias = torch.zeros(case.weights[0], dtype=torch.double, requires_grad=True)
    top, left, bottom, right = case.pads
    padded = F.pad(x, (left, right, top, bottom))
    y = F.conv2d(padded, weight, bias, stride, 0, dilation, groups)
    d_y = random(*y.shape, seed=2)
    backpropagate(y, d_y)

    arrays = [numpy(t) for t in (d_y, x, weight)]
    values = [
        placeholder("dY", arrays[0]),
        placeholder("X", arrays[1]),
        placeholder("W", arrays[2], symbolic_batch=False),
    ]
    attributes = {
        "kernel_shape": (size, size),
        "strides": (stride, stride),
        "dilations": (dilation, dilation),
        "pads": case.pads,
        "group": groups,
    }
    node = gradient_node(MS, "ConvGrad", values, attributes, ["dX", "dW", "dB"])
    found = evaluate([node], dict(zip(values, arrays, strict=True)), node.outputs, gpu=gpu)
    for got, want in zip(found, (x.grad, weight.grad, bias.grad), strict=True):
        assert_close(got, numpy(want))


@pytest.mark.parametrize(("pads", "nodes"), [((1, 1, 1, 1), 1), ((0, 0, 1, 1), 2)])
def test_cudnn_gets_equal_pads(pads: Pads, nodes: int) -> None:
    """Checks that a GPU's ConvTranspose has the same pads on both sides of an axis."""
    upstream, x = (placeholder(name, np.empty((1, 4, 8, 8))) for name in ("dY", "X"))
    weight = placeholder("W", np.empty((4, 1, 3, 3)), symbolic_batch=False)
    op = GraphBuilder(for_gpu=True)
    op.values = {value: value for value in (upstream, x, weight)}
    attributes = {"kernel_shape": [3, 3], "pads": pads, "group": 4}
    node = gradient_node(MS, "ConvGrad", [upstream, x, weight], attributes, ["dX", ""])
    lower(op, [node], GPU_RULES)
    assert len(op.nodes) == nodes
    top, left, bottom, right = op.nodes[0].attributes.get_ints("pads")
    assert (top, left) == (bottom, right)
