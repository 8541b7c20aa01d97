"""Compares the evaluation graph and the inference template with PyTorch in evaluation mode."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import nn

from scripts.artifacts.forward import Prepared, prepare
from scripts.artifacts.graphs.inference import (
    Fold,
    build_evaluation_graph,
    build_inference_template,
)
from scripts.artifacts.networks import find_network
from scripts.reference.evaluator import Array, run_reference
from scripts.reference.training_step import DOUBLE

NETWORKS = [
    ("tiny", 32),
    ("mobilenet_v3_small", 32),
    ("efficientnet_lite0", 32),
    ("squeezenet1_1", 32),
    ("densenet121", 32),
]

CLASSES = 3


class BiasedConvolution(nn.Module):
    """VGG's order: a convolution with a bias, BatchNorm, ReLU; and one with two readers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.shared = nn.Conv2d(4, 4, 3, padding=1)
        self.shared_norm = nn.BatchNorm2d(4)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(4, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images [N, 3, S, S] -> logits [N, C]."""
        y = self.shared(torch.relu(self.norm(self.conv(x))))
        y = torch.relu(self.shared_norm(y)) + y
        logits: torch.Tensor = self.fc(self.drop(torch.flatten(self.pool(y), 1)))
        return logits


def trained(model: nn.Module) -> nn.Module:
    """Gives the network's vectors and statistics random values, and returns it in float64."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point() and tensor.dim() == 1:
                tensor.add_(torch.rand(tensor.shape, generator=generator) / 4)
    return model.double().eval()


@lru_cache
def case(name: str, size: int) -> tuple[nn.Module, Prepared]:
    torch.manual_seed(1)
    module = BiasedConvolution() if name == "biased" else find_network(name).build(CLASSES)
    return trained(module), prepare(module.float().train(), size)


def images(size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(2, 3, size, size, dtype=torch.double, generator=generator)


def expected_logits(model: nn.Module, size: int) -> Array:
    with torch.no_grad():
        logits: Array = model.double().eval()(images(size)).numpy()
    return logits


def folded(state: dict[str, Array], folds: list[Fold]) -> dict[str, Array]:
    """Folds as src/onnx/fold-batch-norm.ts does."""
    found = dict(state)
    for fold in folds:
        gamma, beta, mean, variance = (state[name] for name in fold.batch_norm)
        scale = gamma / np.sqrt(variance + fold.epsilon)
        own = 0.0 if fold.convolution_bias is None else state[fold.convolution_bias]
        found[fold.weight] = state[fold.weight] * scale.reshape(-1, 1, 1, 1)
        found[fold.bias] = beta + (own - mean) * scale
    return found


@pytest.mark.parametrize(("name", "size"), [*NETWORKS, ("biased", 8)])
def test_evaluation_is_pytorchs(name: str, size: int) -> None:
    model, prepared = case(name, size)
    graph = ir.to_proto(build_evaluation_graph(prepared.network, prepared.proto, DOUBLE))
    assert {opset.domain for opset in graph.opset_import} == {""}
    expected = expected_logits(model, size)
    state = {n: t.numpy() for n, t in model.state_dict().items()}
    given = {v.name: state[v.name] for v in graph.graph.input if v.name != "images"}
    found = run_reference(graph, {"images": images(size).numpy(), **given})["logits"]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("name", "size"), [*NETWORKS, ("biased", 8)])
def test_the_template_is_pytorchs_after_folding(name: str, size: int) -> None:
    """The template is float32, as it ships; the bound is that of float32."""
    model, prepared = case(name, size)
    template, folds = build_inference_template(prepared.network, prepared.proto)
    graph = ir.to_proto(template)
    assert {opset.domain for opset in graph.opset_import} == {""}
    expected = expected_logits(model, size)
    state = folded({n: t.numpy() for n, t in model.state_dict().items()}, folds)
    given = {v.name: state[v.name] for v in graph.graph.input if v.name != "input"}
    feeds = {"input": images(size).numpy(), **given}
    found = run_reference(graph, {n: a.astype(np.float32) for n, a in feeds.items()})["logits"]
    scale = float(np.abs(expected).max())
    np.testing.assert_allclose(found, expected, atol=1e-4 * scale)


def test_what_is_folded() -> None:
    _, prepared = case("biased", 8)
    template, folds = build_inference_template(prepared.network, prepared.proto)
    assert [(f.weight, f.bias, f.convolution_bias) for f in folds] == [
        ("conv.weight", "conv.bias", "conv.bias")
    ]
    operators = [node.op_type for node in template.graph]
    assert operators.count("BatchNormalization") == 1 and "Dropout" not in operators
    inputs = {value.name for value in template.graph.inputs}
    assert "shared_norm.running_var" in inputs and "norm.running_var" not in inputs


def test_batch_norm_before_a_convolution_stays() -> None:
    """Checks DenseNet, whose layers begin with BatchNorm."""
    _, prepared = case("densenet121", 32)
    template, folds = build_inference_template(prepared.network, prepared.proto)
    kept = [node for node in template.graph if node.op_type == "BatchNormalization"]
    assert len(kept) + len(folds) == 121
