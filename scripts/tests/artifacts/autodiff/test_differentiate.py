"""Whole networks: the own reverse mode against PyTorch and against onnxruntime-training."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from scripts.artifacts import autodiff
from scripts.artifacts.differentiate import differentiate
from scripts.artifacts.forward import prepare
from scripts.artifacts.networks import find_network
from scripts.reference.network_gradients import (
    exact_epsilons,
    graph_gradients,
    random_sample,
    torch_gradients,
    worst_error,
)


def network(name: str, classes: int) -> nn.Module:
    torch.manual_seed(0)
    model = find_network(name).build(classes)
    exact_epsilons(model)
    return model


@pytest.mark.parametrize(("name", "size"), [("tiny", 32), ("resnet18", 32)])
def test_both_ways_give_the_same_gradients(name: str, size: int) -> None:
    """Compares the graphs of onnxruntime-training and of the own reverse mode in float64."""
    model = network(name, 3)
    prepared = prepare(network(name, 2), size)
    sample = random_sample(prepared.network, 2, 3)
    state = {key: tensor.numpy() for key, tensor in model.state_dict().items()}
    own = autodiff.differentiate(prepared.proto, prepared.network)
    other = differentiate(prepared.proto, list(prepared.network.parameters))
    found = graph_gradients(prepared.network, own, state, sample)
    expected = graph_gradients(prepared.network, other, state, sample)
    error, tensor = worst_error(found, expected)
    assert error <= 1e-10, tensor


@pytest.mark.parametrize("name", ["tiny", "mobilenet_v3_small", "squeezenet1_1"])
def test_a_whole_network_against_pytorch(name: str) -> None:
    """Compares loss, logits and all gradients; the graph was built for another class count."""
    model = network(name, 3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    prepared = prepare(network(name, 2), 32)
    sample = random_sample(prepared.network, 2, 3)
    graph = autodiff.differentiate(prepared.proto, prepared.network)
    state = {key: tensor.numpy() for key, tensor in model.state_dict().items()}
    found = graph_gradients(prepared.network, graph, state, sample)
    error, tensor = worst_error(found, torch_gradients(model, prepared.network.masks, sample))
    assert error <= 1e-9, tensor


def test_the_head_alone() -> None:
    prepared = prepare(network("tiny", 2), 32)
    head = list(prepared.network.head_only().parameters)
    graph = autodiff.differentiate(prepared.proto, prepared.network, head)
    assert set(graph.gradients) == {"fc.weight", "fc.bias"}
    assert not any(node.op_type == "ConvGrad" for node in graph.nodes)
