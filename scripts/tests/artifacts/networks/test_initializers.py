"""Compares the recorded initialisers with what the constructors draw."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from scripts.artifacts.errors import NetworkError
from scripts.artifacts.networks import find_network
from scripts.artifacts.networks.initializers import (
    Distribution,
    constant,
    initializers,
    uniform,
)

NETWORKS = (
    *("resnet18", "mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "efficientnet_lite0"),
    *("squeezenet1_1", "shufflenet_v2_x1_0", "convnext_tiny", "swin_t"),
    "timm/vit_tiny_patch16_224",
)
"""Between them: biases of convolutions, LayerNorm, class tokens, tables of positions."""


def moments(distribution: Distribution) -> tuple[float, float]:
    """Returns mean and standard deviation."""
    mean, std = distribution.mean, distribution.std
    match distribution.kind:
        case "uniform":
            width = distribution.high - distribution.low
            return (distribution.high + distribution.low) / 2, width / math.sqrt(12)
        case "truncated_normal":
            low, high = (distribution.low - mean) / std, (distribution.high - mean) / std
            share = normal_cdf(high) - normal_cdf(low)
            first = (density(low) - density(high)) / share
            second = (low * density(low) - high * density(high)) / share
            return mean + std * first, std * math.sqrt(1 + second - first**2)
    return mean, std


def normal_cdf(x: float) -> float:
    return (1 + math.erf(x / math.sqrt(2))) / 2


def density(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


@pytest.mark.parametrize("name", NETWORKS)
def test_each_tensor_is_drawn_as_recorded(name: str) -> None:
    """Draws the network again; bounds are five standard errors, or exact."""
    build = find_network(name).build
    torch.manual_seed(1)
    state = {n: t for n, t in build(10).state_dict().items() if t.is_floating_point()}
    constants = {n for n in state if n.endswith(("relative_position_index", "relative_coords"))}
    found = initializers(lambda: build(10), set(state) - constants)
    for tensor_name, distribution in found.items():
        values = state[tensor_name].double().flatten()
        mean, std = moments(distribution)
        count = len(values)
        if distribution.kind == "constant":
            assert bool((state[tensor_name] == torch.tensor(mean)).all()), tensor_name
            continue
        assert abs(float(values.mean()) - mean) < 5 * std / math.sqrt(count), tensor_name
        if count > 500:
            assert abs(float(values.std()) / std - 1) < 5 / math.sqrt(count), tensor_name
        slack = 1e-6 * std
        assert float(values.min()) >= distribution.low - slack, tensor_name
        assert float(values.max()) <= distribution.high + slack, tensor_name


def test_kinds_of_known_layers() -> None:
    names = ("conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_var", "fc.weight", "fc.bias")
    found = initializers(lambda: find_network("resnet18").build(3), names)
    assert found["conv1.weight"] == Distribution("normal", 0.0, math.sqrt(2) / math.sqrt(64 * 49))
    assert [found[name] for name in names[1:4]] == [constant(1), constant(0), constant(1)]
    bound = found["fc.weight"].high
    assert bound == pytest.approx(1 / math.sqrt(512))
    assert found["fc.weight"] == uniform(-bound, bound)
    token = "cls_token"
    timm = initializers(lambda: find_network("timm/vit_tiny_patch16_224").build(3), [token])
    assert timm[token] == Distribution("normal", 0.0, 1e-6)


class Drawn(nn.Module):
    """A layer that draws its tensors in ways that constructors use."""

    def __init__(self) -> None:
        super().__init__()
        self.scaled = nn.Parameter(torch.randn(4, 5) * 0.02 + 1)
        self.stretched = nn.Parameter(torch.empty(8))
        nn.init.trunc_normal_(self.stretched, 0, 1, -2, 2)
        with torch.no_grad():
            self.stretched.mul_(0.1).add_(3)
        self.copied = nn.Parameter(torch.empty(8))
        self.copied.data.copy_(torch.rand(8))
        self.squared = nn.Parameter(torch.rand(8) ** 2)
        self.halves = nn.Parameter(torch.zeros(8))
        nn.init.normal_(self.halves[:4])


def test_arithmetic_on_draws_is_followed_and_other_arithmetic_refused() -> None:
    found = initializers(Drawn, ["scaled", "stretched", "copied"])
    assert found == {
        "scaled": Distribution("normal", 1.0, 0.02),
        "stretched": Distribution("truncated_normal", 3.0, 0.1, 2.8, 3.2),
        "copied": uniform(0.0, 1.0),
    }
    for name in ("squared", "halves"):
        with pytest.raises(NetworkError, match=f"expected {name} to be drawn"):
            initializers(Drawn, [name])
