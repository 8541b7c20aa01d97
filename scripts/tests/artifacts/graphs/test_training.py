"""Compares whole lowered steps with PyTorch in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scripts.reference.training_step import (
    DOUBLE,
    Settings,
    feeds,
    make_model,
    random_batches,
    relative_error,
    run_graph,
    run_torch,
    training_graph,
)

BOUND = 1e-9


def worst_tensor(
    arch: str, size: int, classes: int, k: int, n: int, settings: Settings
) -> tuple[float, str]:
    network, graph = training_graph(arch, size, DOUBLE, settings.graph)
    model = make_model(arch, classes, seed=1)
    given = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    batches = random_batches(k, n, size, classes, seed=2)
    found = run_graph(graph, feeds(graph, network, model, batches, settings))
    expected = run_torch(model, network, batches, settings)
    if settings.graph == "trainHead":
        # PyTorch must leave every tensor that the graph does not return bitwise unchanged.
        for name in set(expected) - set(found):
            assert np.array_equal(expected.pop(name), given[name].numpy()), name
    assert set(found) == set(expected)
    errors = []
    for name, array in expected.items():
        assert found[name].dtype == np.float64
        assert found[name].shape == array.shape, name
        errors.append((relative_error(found[name], array), name))
    return max(errors)


@pytest.mark.parametrize("batch", [1, 3, 4])
@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_one_step_of_the_tiny_network(batch: int, classes: int, weight_decay: float) -> None:
    """Compares loss, logits, every gradient (as momentum), weights and running statistics."""
    settings = Settings(weight_decay=weight_decay)
    error, name = worst_tensor("tiny", 32, classes, 1, batch, settings)
    assert error <= BOUND, name


def test_several_steps_a_call() -> None:
    """Checks that the Scan carries the state and reads the learning rates of each step."""
    settings = Settings(
        lr=(0.02, 0.01, 0.001), head_lr=(0.1, 0.05, 0.02), momentum=0.8, weight_decay=0.001
    )
    error, name = worst_tensor("tiny", 32, 3, 3, 4, settings)
    assert error <= BOUND, name


@pytest.mark.parametrize("graph", ["trainExtended", "trainHead"])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("max_norm", [0.5, 1e6, math.inf])
def test_nesterov_and_clipping_of_all_layers_and_of_the_head(
    graph: str, nesterov: bool, max_norm: float
) -> None:
    settings = Settings(
        lr=(0.02, 0.01, 0.005),
        head_lr=(0.1, 0.05, 0.02),
        weight_decay=0.01,
        graph=graph,
        nesterov=nesterov,
        max_norm=max_norm,
    )
    error, name = worst_tensor("tiny", 32, 3, 3, 3, settings)
    assert error <= BOUND, name


def test_the_extended_graph_without_its_extras_gives_the_same_bits() -> None:
    model, batches = make_model("tiny", 3, seed=1), random_batches(2, 3, 32, 3, seed=2)
    found = []
    for key in ("train", "trainExtended"):
        settings = Settings(lr=(0.02, 0.01), weight_decay=0.01, graph=key)
        network, graph = training_graph("tiny", 32, DOUBLE, key)
        found.append(run_graph(graph, feeds(graph, network, model, batches, settings)))
    plain, extended = found
    assert plain.keys() == extended.keys()
    assert all(np.array_equal(plain[name], extended[name]) for name in plain)


@pytest.mark.parametrize("arch", ["resnet18", "resnet34", "resnet50"])
def test_one_step_of_torchvisions_networks(arch: str) -> None:
    """Uses 64x64 images, for which the reference evaluator is quick; the rules are the same."""
    error, name = worst_tensor(arch, 64, 2, 1, 2, Settings(weight_decay=0.01))
    assert error <= BOUND, name


def test_the_tiny_network_has_every_operator_of_resnet18() -> None:
    def operators(arch: str, size: int) -> set[str]:
        _, graph = training_graph(arch, size, DOUBLE)
        body = graph.graph.node[0].attribute[0].g
        assert body.name == "training_step"
        return {node.op_type for node in body.node}

    assert operators("tiny", 32) == operators("resnet18", 64)
    model = make_model("tiny", 2, seed=0)
    assert sum(p.numel() for p in model.parameters()) < 100_000


def test_the_graph_is_standard_onnx_with_symbolic_k_n_and_c() -> None:
    _, graph = training_graph("tiny", 32, DOUBLE)
    assert {opset.domain for opset in graph.opset_import} == {""}
    shapes = {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in [*graph.graph.input, *graph.graph.output]
    }
    assert shapes["images"] == ["K", "N", 3, 32, 32]
    assert shapes["targets"] == shapes["logits"] == ["K", "N", "C"]
    assert shapes["lr"] == shapes["head_lr"] == shapes["losses"] == ["K"]
    assert shapes["momentum"] == shapes["weight_decay"] == []
    assert shapes["fc.weight"] == shapes["next.fc.weight"] == ["C", 32]
