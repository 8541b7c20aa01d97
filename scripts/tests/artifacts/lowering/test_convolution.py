"""Compares each of the convolution's rules alone with PyTorch in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
import torch.nn.functional as F

from scripts.artifacts.graph_builder import GraphBuilder
from scripts.artifacts.lowering import lower
from scripts.artifacts.lowering.convolution import winograd
from scripts.artifacts.lowering.convolution.geometry import Convolution
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

CONVOLUTIONS = [
    # kernel, stride, padding, dilation, groups, in channels, out channels, height, width
    (3, 1, 1, 1, 1, 5, 4, 7, 9),
    (3, 2, 1, 1, 1, 5, 4, 7, 8),
    (3, 2, 1, 1, 1, 5, 4, 8, 7),
    (1, 1, 0, 1, 1, 6, 2, 5, 5),
    (1, 2, 0, 1, 1, 6, 2, 5, 6),
    (7, 2, 3, 1, 1, 3, 4, 13, 16),
    (3, 1, 0, 1, 1, 5, 2, 6, 5),
    (3, 1, 2, 2, 1, 5, 2, 6, 9),
    (3, 2, 2, 2, 1, 3, 2, 9, 10),
    (3, 1, 3, 1, 1, 5, 2, 4, 4),
    (3, 1, 1, 1, 2, 6, 4, 20, 21),
    (3, 1, 1, 1, 1, 5, 4, 21, 20),
    (1, 1, 0, 1, 1, 5, 4, 21, 20),
    (3, 1, 2, 2, 1, 5, 2, 21, 20),
    (3, 2, 1, 1, 3, 6, 3, 6, 5),
    (5, 3, 2, 1, 1, 5, 2, 11, 12),
    ((3, 1), (2, 1), (1, 0), 1, 1, 5, 2, 7, 4),
    ((1, 5), (1, 3), (0, 2), (1, 1), 1, 2, 3, 4, 11),
]


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("geometry", CONVOLUTIONS)
def test_conv_grad(geometry: tuple[Any, ...], batch: int, bias: bool) -> None:
    kernel, stride, padding, dilation = (_pair(v) for v in geometry[:4])
    groups, channels, out_channels, height, width = geometry[4:]
    x = random(batch, channels, height, width).requires_grad_()
    weight = random(out_channels, channels // groups, *kernel, seed=1).requires_grad_()
    offset = torch.zeros(out_channels, dtype=torch.double, requires_grad=True)
    y = F.conv2d(x, weight, offset, stride, padding, dilation, groups)
    d_y = random(*y.shape, seed=2)
    backpropagate(y, d_y)

    arrays = [numpy(t) for t in (d_y, x, weight)]
    values = [
        placeholder("dY", arrays[0]),
        placeholder("X", arrays[1]),
        placeholder("W", arrays[2], symbolic_batch=False),
    ]
    attributes = {
        "kernel_shape": kernel,
        "strides": stride,
        "dilations": dilation,
        "pads": [*padding, *padding],
        "group": groups,
        "auto_pad": "NOTSET",
    }
    outputs = ["dX", "dW", "dB"] if bias else ["dX", "dW"]
    node = gradient_node(MS, "ConvGrad", values, attributes, outputs)
    feeds = dict(zip(values, arrays, strict=True))
    found = evaluate([node], feeds, node.outputs)
    expected = [x.grad, weight.grad, offset.grad][: len(outputs)]
    for got, want in zip(found, expected, strict=True):
        assert_close(got, numpy(want))


def test_conv_grad_leaves_out_what_nobody_reads() -> None:
    """Checks that the first convolution's dX, the gradient of the images, is not computed."""
    arrays = [np.ones((1, 2, 2, 2)), np.ones((1, 3, 4, 4)), np.ones((2, 3, 3, 3))]
    values = [placeholder(name, a) for name, a in zip(("dY", "X", "W"), arrays, strict=True)]
    values[2].shape = ir.Shape(arrays[2].shape)
    node = gradient_node(MS, "ConvGrad", values, {"kernel_shape": [3, 3]}, ["", "dW"])
    (d_w,) = evaluate([node], dict(zip(values, arrays, strict=True)), [node.outputs[1]])
    np.testing.assert_allclose(d_w, np.full((2, 3, 3, 3), 4.0))


def test_conv_grad_refuses_automatic_padding() -> None:
    values = [placeholder(n, np.ones((1, 1, 3, 3)), False) for n in ("dY", "X", "W")]
    node = gradient_node(MS, "ConvGrad", values, {"auto_pad": "SAME_UPPER"}, ["dX", "dW"])
    with pytest.raises(NotImplementedError, match="expected explicit pads"):
        evaluate([node], {v: np.ones((1, 1, 3, 3)) for v in values}, node.outputs)


FILTERED = [
    # in channels, out channels, height, width, pads
    (3, 2, 7, 7, (1, 1, 1, 1)),
    (2, 3, 8, 5, (1, 1, 1, 1)),
    (2, 3, 13, 14, (1, 1, 1, 1)),
    (3, 2, 10, 9, (0, 2, 1, 0)),
    (1, 1, 3, 3, (0, 0, 0, 0)),
]


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("geometry", FILTERED)
def test_minimal_filtering(
    geometry: tuple[int, int, int, int, tuple[int, ...]],
    batch: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Computes Y, dX and dW by Winograd's algorithm, whatever it costs."""
    monkeypatch.setattr(winograd, "suits", lambda conv: True)
    channels, out_channels, height, width, pads = geometry
    x = random(batch, channels, height, width).requires_grad_()
    weight = random(out_channels, channels, 3, 3, seed=1).requires_grad_()
    top, left, bottom, right = pads
    y = F.conv2d(F.pad(x, (left, right, top, bottom)), weight)
    d_y = random(*y.shape, seed=2)
    backpropagate(y, d_y)

    values = [placeholder("X", numpy(x)), placeholder("W", numpy(weight), symbolic_batch=False)]
    upstream = placeholder("dY", numpy(d_y))
    attributes = {"kernel_shape": [3, 3], "pads": pads}
    forward = gradient_node("", "Conv", values, attributes, ["Y"])
    backward = gradient_node(MS, "ConvGrad", [upstream, *values], attributes, ["dX", "dW"])
    feeds = {values[0]: numpy(x), values[1]: numpy(weight), upstream: numpy(d_y)}
    found = evaluate([forward, backward], feeds, [*forward.outputs, *backward.outputs])
    for got, want in zip(found, [y, x.grad, weight.grad], strict=True):
        assert_close(got, numpy(want))


@pytest.mark.parametrize(
    ("channels", "size", "attributes", "suits"),
    [
        (512, 7, {"pads": [1, 1, 1, 1]}, True),
        (256, 14, {"pads": [1, 1, 1, 1]}, True),
        (64, 56, {"pads": [1, 1, 1, 1]}, False),
        (4, 7, {"pads": [1, 1, 1, 1]}, False),
        (256, 14, {"pads": [1, 1, 1, 1], "strides": [2, 2]}, False),
        (256, 14, {"pads": [2, 2, 2, 2], "dilations": [2, 2]}, False),
        (256, 14, {"pads": [3, 3, 3, 3]}, False),
    ],
)
def test_where_minimal_filtering_pays(
    channels: int, size: int, attributes: dict[str, list[int]], suits: bool
) -> None:
    x = placeholder("X", np.empty((1, channels, size, size)))
    weight = placeholder("W", np.empty((channels, channels, 3, 3)), symbolic_batch=False)
    node = gradient_node("", "Conv", [x, weight], attributes, ["Y"])
    assert winograd.suits(Convolution.of(node, x, weight)) is suits


@pytest.mark.parametrize(("for_gpu", "expected"), [(False, "MatMul"), (True, "Conv")])
def test_graphs_for_gpus_keep_the_convolution(for_gpu: bool, expected: str) -> None:
    x = placeholder("X", np.empty((1, 256, 14, 14)))
    weight = placeholder("W", np.empty((256, 256, 3, 3)), symbolic_batch=False)
    op = GraphBuilder(for_gpu=for_gpu)
    op.values = {x: x, weight: weight}
    lower(op, [gradient_node("", "Conv", [x, weight], {"pads": [1, 1, 1, 1]}, ["Y"])])
    assert expected in [node.op_type for node in op.nodes]
