"""Gradients of convolutions, pools and normalisations against PyTorch's autograd, in float64."""

from __future__ import annotations

import pytest
import torch.nn.functional as F

from scripts.reference.gradient_rule import gradients, learning


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("group", "out_channels"), [(1, 6), (2, 6), (4, 4), (4, 8)])
def test_convolution_in_groups(group: int, out_channels: int, bias: bool) -> None:
    x, w = learning(2, 4, 7, 9), learning(out_channels, 4 // group, 3, 3, seed=1)
    b = learning(out_channels, seed=2) if bias else None
    y = F.conv2d(x, w, b, stride=2, padding=1, groups=group)
    attributes = {
        "kernel_shape": [3, 3],
        "strides": [2, 2],
        "pads": [1, 1, 1, 1],
        "dilations": [1, 1],
        "group": group,
    }
    gradients("Conv", [x, w] if b is None else [x, w, b], y, attributes)


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 1, 1)])
def test_average_pool(kernel: int, stride: int, padding: int) -> None:
    x = learning(2, 3, 8, 10)
    y = F.avg_pool2d(x, kernel, stride, padding)
    attributes = {
        "kernel_shape": [kernel, kernel],
        "strides": [stride, stride],
        "pads": [padding] * 4,
        "count_include_pad": 1,
    }
    gradients("AveragePool", [x], y, attributes)


def test_global_average_pool() -> None:
    x = learning(2, 3, 4, 5)
    gradients("GlobalAveragePool", [x], x.mean((2, 3), keepdim=True))


@pytest.mark.parametrize("shape", [(2, 3, 8), (2, 4, 5, 8)])
def test_layer_norm(shape: tuple[int, ...]) -> None:
    x, scale, shift = learning(*shape), learning(8, seed=1), learning(8, seed=2)
    y = F.layer_norm(x, (8,), scale, shift, 2**-17)
    gradients("LayerNormalization", [x, scale, shift], y, {"axis": -1, "epsilon": 2**-17})
