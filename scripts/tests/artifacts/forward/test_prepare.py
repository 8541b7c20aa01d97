"""The network that a forward graph computes: head, state, masks; and what is refused."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
import torchvision  # type: ignore[import-untyped]
from torch import nn

from scripts.artifacts import autodiff
from scripts.artifacts.errors import NetworkError
from scripts.artifacts.forward import prepare
from scripts.reference.network_gradients import (
    graph_gradients,
    random_sample,
    torch_gradients,
    worst_error,
)
from scripts.tests.artifacts.forward.modules import Classifier, inference_export, operators

SIZE = 8


def test_names_and_order_are_the_modules() -> None:
    model = torchvision.models.get_model("mobilenet_v3_small", num_classes=11)
    network = prepare(model, 32).network
    expected = {n: ["C" if d == 11 else d for d in p.shape] for n, p in model.named_parameters()}
    assert dict(network.parameters) == expected
    assert list(network.parameters) == list(expected)
    state = [*network.parameters, *network.buffers, *network.counters]
    assert set(state) == set(model.state_dict())
    assert list(network.buffers) == [n for n in model.state_dict() if "running" in n]
    assert network.head == {"classifier.3.weight", "classifier.3.bias"}


def test_masks_name_their_part() -> None:
    model = torchvision.models.get_model("efficientnet_b0", num_classes=2)
    masks = prepare(model, 32).network.masks
    kinds = [(entry.kind, entry.width, entry.part) for entry in masks.entries]
    assert kinds == [("stochastic_depth", 1, "backbone")] * 9 + [("dropout", 1280, "head")]
    assert masks.width == 9 + 1280
    assert [entry.offset for entry in masks.entries] == list(range(10))
    assert [round(entry.p, 4) for entry in masks.entries][-2:] == [0.175, 0.2]
    head = prepare(model, 32).network.head_only()
    assert [entry.part for entry in head.masks.entries] == ["head"]
    assert head.masks.width == masks.width


class ConvolutionHead(nn.Module):
    """SqueezeNet's end: Dropout, a 1x1 convolution, ReLU, a global pool."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.dropout = nn.Dropout(0.5)
        self.last = nn.Conv2d(8, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images [N, 3, S, S] -> logits [N, C]."""
        x = F.relu(self.last(self.dropout(self.conv(x))))
        return F.adaptive_avg_pool2d(x, 1).flatten(1)


class ProductHead(nn.Module):
    """A head that the exporter writes as MatMul and Add."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.weight = nn.Parameter(torch.randn(8, classes))
        self.bias = nn.Parameter(torch.randn(classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images [N, 3, S, S] -> logits [N, C]."""
        logits: torch.Tensor = self.conv(x).mean((2, 3)) @ self.weight + self.bias
        return logits


@pytest.mark.parametrize(
    ("kind", "head"),
    [
        (ConvolutionHead, {"last.weight": ["C", 8, 1, 1], "last.bias": ["C"]}),
        (ProductHead, {"weight": [8, "C"], "bias": ["C"]}),
    ],
)
def test_a_graph_serves_any_number_of_classes(
    kind: type[nn.Module], head: dict[str, list[int | str]]
) -> None:
    """Builds the graph for two classes and takes a step with five."""
    prepared = prepare(kind(2), SIZE)
    network = prepared.network
    assert {name: list(network.parameters[name]) for name in network.head} == head
    torch.manual_seed(0)
    model = kind(5)
    sample = random_sample(network, 3, 5)
    graph = autodiff.differentiate(prepared.proto, network)
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    found = graph_gradients(network, graph, state, sample)
    expected = torch_gradients(model, network.masks, sample)
    assert worst_error(found, expected)[0] <= 1e-10


def test_an_inference_export_keeps_its_weights_and_says_what_it_lost() -> None:
    torch.manual_seed(0)
    middle = nn.Sequential(nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5))
    model = Classifier(middle).eval()
    proto = inference_export(model, SIZE)
    prepared = prepare(proto, SIZE)
    assert len(prepared.lost) == 2
    assert "BatchNorm is folded" in prepared.lost[0]
    assert prepared.network.head == {"fc.weight", "fc.bias"}
    assert prepared.network.masks.width == 0
    weights = prepared.weights
    assert set(weights) == set(prepared.network.parameters)
    assert np.array_equal(weights["fc.weight"], model.fc.weight.detach().numpy())
    graph = autodiff.differentiate(prepared.proto, prepared.network)
    sample = random_sample(prepared.network, 2, 2)
    found = graph_gradients(prepared.network, graph, dict(weights), sample)
    with torch.no_grad():
        expected = model.double()(sample.images).numpy()
    np.testing.assert_allclose(found["logits"], expected, rtol=1e-5, atol=1e-6)


def test_tensors_that_an_exporter_merged_learn_apart() -> None:
    """Rule 14: two layers whose weights are equal are two layers."""
    torch.manual_seed(0)
    first, second = nn.Conv2d(8, 8, 1, bias=False), nn.Conv2d(8, 8, 1, bias=False)
    second.load_state_dict(first.state_dict())
    proto = inference_export(Classifier(nn.Sequential(first, nn.ReLU(), second)), SIZE)
    convolutions = [node.input[1] for node in proto.graph.node if node.op_type == "Conv"]
    if len(set(convolutions)) == 3:  # this exporter did not merge them: do it here
        for node in proto.graph.node:
            node.input[:] = [convolutions[1] if i == convolutions[2] else i for i in node.input]
    network = prepare(proto, SIZE).network
    assert sum(list(shape) == [8, 8, 1, 1] for shape in network.parameters.values()) == 2


def test_one_tensor_under_two_names_is_refused() -> None:
    layer = nn.Conv2d(8, 8, 1)
    model = Classifier(nn.Sequential(layer, nn.ReLU()))
    model.other = layer
    with pytest.raises(NetworkError, match=r"under the names middle\.0\.weight and other\.weight"):
        prepare(model, SIZE)


class Twice(nn.Module):
    """One layer that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(8, 8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps [N, 8, H, W] to the same shape."""
        y: torch.Tensor = self.layer(F.relu(self.layer(x)))
        return y


def test_a_layer_that_is_called_twice_adds_up_its_gradients() -> None:
    torch.manual_seed(0)
    model = Classifier(Twice())
    prepared = prepare(model, SIZE)
    sample = random_sample(prepared.network, 2, 2)
    graph = autodiff.differentiate(prepared.proto, prepared.network)
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    found = graph_gradients(prepared.network, graph, state, sample)
    expected = torch_gradients(model, prepared.network.masks, sample)
    assert worst_error(found, expected)[0] <= 1e-10


def test_an_unused_parameter_is_refused_by_name() -> None:
    model = Classifier(lambda x: x)
    model.spare = nn.Linear(2, 2)
    with pytest.raises(NetworkError, match=r"got none of spare\.weight, spare\.bias; build"):
        prepare(model, SIZE)


def test_logits_without_a_layer_are_refused() -> None:
    class Average(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.conv(x).mean((2, 3))
            return logits

    with pytest.raises(NetworkError, match=r"expected a Gemm, MatMul or 1x1 Conv .* got Conv"):
        prepare(Average(), SIZE)


def test_a_softmax_at_the_end_of_a_file_is_left_out() -> None:
    model = nn.Sequential(Classifier(nn.ReLU()), nn.Softmax(1))
    prepared = prepare(inference_export(model, SIZE), SIZE)
    assert operators(prepared.proto)[-1] == "Gemm"
    assert any("Softmax" in sentence for sentence in prepared.lost)


def test_a_file_for_another_size_is_refused() -> None:
    proto = inference_export(Classifier(nn.ReLU()), SIZE)
    with pytest.raises(NetworkError, match="use --input-size 8"):
        prepare(proto, 16)


def test_an_operator_without_a_gradient_is_named() -> None:
    prepared = prepare(Classifier(lambda x: torch.sin(x)), SIZE)
    with pytest.raises(NetworkError, match=r"got ai\.onnx\.Sin \(.*Sin\); add its gradient"):
        autodiff.differentiate(prepared.proto, prepared.network)


def test_the_state_of_a_file_can_be_read_in_newer_opsets() -> None:
    """Rule 20: axes as an input."""
    proto = inference_export(Classifier(nn.ReLU()), SIZE, opset=18)
    assert isinstance(proto, onnx.ModelProto)
    assert prepare(proto, SIZE).network.head == {"fc.weight", "fc.bias"}
