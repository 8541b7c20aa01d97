"""Each pass on a small module: the pattern is gone, and the function is the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import StochasticDepth  # type: ignore[import-untyped]

from scripts.artifacts import autodiff
from scripts.artifacts.errors import NetworkError
from scripts.artifacts.forward import prepare
from scripts.reference.network_gradients import (
    graph_gradients,
    random_sample,
    torch_gradients,
    worst_error,
)
from scripts.tests.artifacts.forward.modules import Classifier, operators

SIZE = 8
Middle = Callable[[torch.Tensor], torch.Tensor]


def check(middle: Middle, expected: list[str], bound: float = 1e-10) -> None:
    """Compares the operators between Conv and the pool, and the gradients with PyTorch's."""
    torch.manual_seed(0)
    model = Classifier(middle)
    prepared = prepare(model, SIZE)
    found = operators(prepared.proto)
    assert found[0] == "Conv" and found[-3:] == ["GlobalAveragePool", "Flatten", "Gemm"]
    assert found[1:-3] == expected
    sample = random_sample(prepared.network, 3, 2)
    graph = autodiff.differentiate(prepared.proto, prepared.network)
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    gradients = graph_gradients(prepared.network, graph, state, sample)
    wanted = torch_gradients(model, prepared.network.masks, sample)
    error, name = worst_error(gradients, wanted)
    assert error <= bound, name


def shaped(x: torch.Tensor) -> torch.Tensor:
    """Computes a shape at run time, as attention and channel shuffle do."""
    count, channels, height, width = x.shape
    x = x.view(count, 2, channels // 2, height, width).transpose(1, 2).contiguous()
    return x.view(count, -1, height, width)


def layer_norm_by_hand(x: torch.Tensor) -> torch.Tensor:
    x = x.permute(0, 2, 3, 1)
    centred = x - x.mean(-1, keepdim=True)
    x = centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + 2**-17)
    return x.permute(0, 3, 1, 2)


def gelu_by_hand(x: torch.Tensor) -> torch.Tensor:
    return 0.5 * x * (1 + torch.erf(x / 2**0.5))


MIDDLES: dict[str, tuple[Middle, list[str]]] = {
    "rules 1 to 3: shapes": (shaped, ["Reshape", "Transpose", "Reshape"]),
    "rule 5: identities": (nn.Sequential(nn.Identity(), nn.Dropout(0.0)), []),
    "rule 8: SiLU": (nn.SiLU(), ["Swish"]),
    "rule 8: by hand": (lambda x: torch.sigmoid(x) * x, ["Swish"]),
    "rule 9: GELU": (nn.GELU(), ["Gelu"]),
    "rule 9: by hand": (gelu_by_hand, ["Gelu"]),
    "rule 10: Hardswish": (nn.Hardswish(), ["HardSwish"]),
    "rule 10: by hand": (lambda x: x * F.relu6(x + 3) / 6, ["HardSwish"]),
    "rule 10: product of sigmoid": (lambda x: F.relu6(x + 3) / 6 * x, ["HardSwish"]),
    "rule 10: Hardsigmoid by hand": (lambda x: F.relu6(x + 3) / 6, ["HardSigmoid"]),
    "rule 11: LayerNorm by hand": (
        layer_norm_by_hand,
        ["Transpose", "LayerNormalization", "Transpose"],
    ),
    "rule 18: stochastic depth": (StochasticDepth(0.5, "row"), ["DropPath"]),
    "Dropout stays": (nn.Dropout(0.5), ["Dropout"]),
}


@pytest.mark.parametrize("name", MIDDLES)
def test_pass(name: str) -> None:
    middle, expected = MIDDLES[name]
    # A float32 attribute of ONNX holds 1/6 with an error of 1e-8.
    check(middle, expected, 1e-6 if "rule 10" in name else 1e-10)


def test_pad_before_a_convolution_becomes_its_own() -> None:
    """Rule 6, with one more row and column at the end: TensorFlow's "same" padding."""
    convolution = nn.Conv2d(8, 8, 3, stride=2, bias=False)
    middle = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), convolution)
    check(middle, ["Conv"])
    pads = [a.ints for a in prepare(Classifier(middle), SIZE).proto.graph.node[1].attribute]
    assert [0, 0, 1, 1] in [list(p) for p in pads]


def test_pad_before_a_max_pool_becomes_its_own() -> None:
    """Rule 7."""
    middle = nn.Sequential(nn.ConstantPad2d((0, 1, 0, 1), -torch.inf), nn.MaxPool2d(3, 2))
    check(middle, ["MaxPool"])


def test_another_pad_stays() -> None:
    check(nn.ZeroPad2d(1), ["Pad"])


@pytest.mark.parametrize("groups", [1, 2])
def test_group_norm_is_written_out(groups: int) -> None:
    """Rule 12."""
    norm = nn.GroupNorm(groups, 8, eps=2**-17)
    torch.nn.init.normal_(norm.weight)
    model = Classifier(norm)
    assert "InstanceNormalization" not in operators(prepare(model, SIZE).proto)
    found = operators(prepare(model, SIZE).proto)
    check(norm, found[1:-3])


@pytest.mark.parametrize("equation", ["nij,nkj->nik", "nji,njk->nik", "nij,njk->nik"])
def test_an_einsum_of_matrices_is_a_product(equation: str) -> None:
    """Rule 21, as relative attention writes it."""

    def middle(x: torch.Tensor) -> torch.Tensor:
        maps = x.flatten(2)[:, :, :8]
        product = torch.einsum(equation, maps, torch.sigmoid(maps))
        return product.reshape(-1, 8, 4, 2)

    model = Classifier(middle)
    prepared = prepare(model, SIZE)
    found = operators(prepared.proto)
    assert "Einsum" not in found and found.count("MatMul") == 1
    sample = random_sample(prepared.network, 3, 2)
    graph = autodiff.differentiate(prepared.proto, prepared.network)
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    gradients = graph_gradients(prepared.network, graph, state, sample)
    wanted = torch_gradients(model, prepared.network.masks, sample)
    assert worst_error(gradients, wanted)[0] <= 1e-10


class ClassToken(nn.Module):
    """A vision transformer's beginning: a learned token before the patches of each image."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps [N, 8, H, W] to the same shape, the first pixel replaced by the token."""
        patches = x.flatten(2).transpose(1, 2)
        joined = torch.cat([self.token.expand(x.shape[0], -1, -1), patches[:, 1:]], 1)
        return joined.transpose(1, 2).reshape(x.shape)


def test_a_token_is_repeated_for_each_image() -> None:
    """Rule 4: the only shape with N in it is read from the images."""
    found = operators(prepare(Classifier(ClassToken()), SIZE).proto)
    assert found.count("Shape") == 1 and found.count("Expand") == 1
    model = Classifier(ClassToken())
    prepared = prepare(model, SIZE)
    for count in (1, 3):
        sample = random_sample(prepared.network, count, 2)
        graph = autodiff.differentiate(prepared.proto, prepared.network)
        state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
        gradients = graph_gradients(prepared.network, graph, state, sample)
        wanted = torch_gradients(model, prepared.network.masks, sample)
        assert worst_error(gradients, wanted)[0] <= 1e-10


def test_other_random_numbers_are_refused() -> None:
    with pytest.raises(NetworkError, match=r"expected Dropout, or .* got RandomNormalLike"):
        prepare(Classifier(lambda x: x + torch.randn_like(x)), SIZE)
