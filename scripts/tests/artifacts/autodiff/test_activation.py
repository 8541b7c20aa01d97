"""Each activation's gradient against PyTorch's autograd, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from scripts.reference.gradient_rule import gradients, learning

SIXTH = float(np.float32(1 / 6))

PLAIN: list[tuple[str, Callable[..., torch.Tensor], dict[str, Any], str]] = [
    ("Relu", F.relu, {}, ""),
    ("HardSwish", F.hardswish, {}, ""),
    ("HardSigmoid", F.hardsigmoid, {"alpha": SIXTH, "beta": 0.5}, ""),
    ("Sigmoid", torch.sigmoid, {}, ""),
    ("Swish", F.silu, {}, "train"),
    ("Gelu", F.gelu, {}, "train"),
    ("Tanh", torch.tanh, {}, ""),
    ("Softplus", F.softplus, {}, ""),
    ("Erf", torch.erf, {}, ""),
    ("Elu", lambda x: F.elu(x, 0.5), {"alpha": 0.5}, ""),
    ("LeakyRelu", lambda x: F.leaky_relu(x, 0.25), {"alpha": 0.25}, ""),
]


@pytest.mark.parametrize(("op_type", "function", "attributes", "domain"), PLAIN)
def test_activation(
    op_type: str,
    function: Callable[..., torch.Tensor],
    attributes: dict[str, Any],
    domain: str,
) -> None:
    x = learning(2, 3, 4, 5)
    gradients(op_type, [x], function(x), attributes, domain=domain)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-0.5, 0.5), (0.25, None), (None, 0.25)])
def test_clip_with_one_or_two_bounds(low: float | None, high: float | None) -> None:
    x = learning(2, 3, 4, 5)
    bounds = [None if bound is None else np.array(bound) for bound in (low, high)]
    gradients("Clip", [x, *bounds], torch.clamp(x, low, high))


@pytest.mark.parametrize("shape", [(3, 1, 1), (1, 1, 1)])
def test_prelu_learns_a_slope_per_channel_or_one(shape: tuple[int, ...]) -> None:
    x, slope = learning(2, 3, 4, 5), learning(*shape, seed=1)
    gradients("PRelu", [x, slope], torch.where(x > 0, x, slope * x))


@pytest.mark.parametrize("axis", [-1, 1])
def test_softmax(axis: int) -> None:
    x = learning(2, 3, 5)
    gradients("Softmax", [x], torch.softmax(x, axis), {"axis": axis})
