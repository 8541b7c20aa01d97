"""Compares the rules of pools with PyTorch's autograd in float64."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch.nn.functional as F

from scripts.reference.lowering_rule import (
    assert_close,
    backpropagate,
    evaluate,
    gradient_node,
    numpy,
    placeholder,
    random,
)

POOLS = [
    # kernel, stride, padding, dilation, ceil_mode, height, width
    (3, 2, 1, 1, False, 7, 9),
    (3, 2, 1, 1, False, 8, 6),
    (3, 2, 1, 1, True, 8, 6),
    (2, 2, 0, 1, False, 7, 6),
    (3, 1, 1, 1, False, 5, 4),
    (3, 3, 0, 1, False, 10, 9),
    (2, 3, 0, 1, False, 9, 8),
    (3, 2, 1, 2, False, 9, 10),
    (3, 2, 1, 1, False, 112, 56),
]


@pytest.mark.parametrize(("geometry", "batch"), list(itertools.product(POOLS, [1, 3])))
def test_max_pool_grad(geometry: tuple[Any, ...], batch: int) -> None:
    kernel, stride, padding, dilation, ceil_mode, height, width = geometry
    # Use few distinct values, as after a ReLU: nearly every window has a tie.
    x = F.relu((random(batch, 3, height, width) * 1.5).round()).requires_grad_()
    y = F.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode)
    d_y = random(*y.shape, seed=1)
    backpropagate(y, d_y)

    image, upstream = placeholder("X", numpy(x)), placeholder("dY", numpy(d_y))
    attributes = {
        "kernel_shape": [kernel, kernel],
        "strides": [stride, stride],
        "dilations": [dilation, dilation],
        "pads": [padding] * 4,
        "ceil_mode": int(ceil_mode),
    }
    forward = gradient_node("", "MaxPool", [image], attributes, ["Y", "indices"])
    forward.outputs[0].shape = ir.Shape(["N", *y.shape[1:]])
    backward = gradient_node("", "MaxPoolGrad", [upstream, forward.outputs[1]], attributes, ["dX"])
    feeds = {image: numpy(x), upstream: numpy(d_y)}
    wanted = [forward.outputs[0], backward.outputs[0]]
    found_y, d_x = evaluate([forward, backward], feeds, wanted)
    np.testing.assert_array_equal(found_y, numpy(y))
    assert_close(d_x, numpy(x.grad))


AVERAGE_POOLS = [
    # kernel, stride, padding, ceil_mode, height, width
    (2, 2, 0, False, 8, 10),
    (2, 2, 0, False, 7, 10),
    (2, 2, 0, True, 7, 9),
    (3, 1, 1, False, 6, 7),
    (3, 2, 1, False, 8, 9),
    (3, 2, 1, True, 8, 9),
    (3, 2, 0, True, 8, 6),
    (2, 3, 0, True, 7, 8),
    (3, 2, 1, True, 7, 6),
    ((7, 7), (1, 1), (0, 0), False, 7, 7),
    ((3, 1), (2, 1), (1, 0), False, 9, 4),
]


@pytest.mark.parametrize("count_pad", [True, False])
@pytest.mark.parametrize("geometry", AVERAGE_POOLS)
def test_average_pool(geometry: tuple[Any, ...], count_pad: bool) -> None:
    kernel, stride, padding = (v if isinstance(v, tuple) else (v, v) for v in geometry[:3])
    ceil_mode, height, width = geometry[3:]
    x = random(2, 3, height, width).requires_grad_()
    y = F.avg_pool2d(x, kernel, stride, padding, ceil_mode, count_pad)
    d_y = random(*y.shape, seed=1)
    backpropagate(y, d_y)

    image, upstream = placeholder("X", numpy(x)), placeholder("dY", numpy(d_y))
    attributes = {
        "kernel_shape": kernel,
        "strides": stride,
        "pads": [*padding, *padding],
        "ceil_mode": int(ceil_mode),
        "count_include_pad": int(count_pad),
    }
    forward = gradient_node("", "AveragePool", [image], attributes, ["Y"])
    backward = gradient_node("train", "AveragePoolGrad", [upstream, image], attributes, ["dX"])
    feeds = {image: numpy(x), upstream: numpy(d_y)}
    found_y, d_x = evaluate([forward, backward], feeds, [forward.outputs[0], backward.outputs[0]])
    assert_close(found_y, numpy(y))
    assert_close(d_x, numpy(x.grad))


def test_average_pool_refuses_automatic_padding() -> None:
    image = placeholder("X", np.ones((1, 1, 4, 4)))
    attributes = {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER"}
    node = gradient_node("", "AveragePool", [image], attributes, ["Y"])
    with pytest.raises(NotImplementedError, match="expected explicit pads"):
        evaluate([node], {image: np.ones((1, 1, 4, 4))}, node.outputs)
