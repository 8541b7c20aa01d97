"""Compares the graphs for GPUs with PyTorch in float64, and checks their operators."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from scripts.artifacts.graphs.gpu import build_gpu_training_graph, build_state_graph, packing
from scripts.artifacts.network import OUTPUT_PREFIX, Network
from scripts.reference.evaluator import Array, run_reference
from scripts.reference.training_step import (
    DOUBLE,
    Settings,
    feeds,
    gradient_graph,
    make_model,
    random_batches,
    relative_error,
    run_torch,
    training_graph,
)

BOUND = 1e-9


@lru_cache
def gpu_graph(arch: str, size: int, loop: bool) -> tuple[Network, onnx.ModelProto]:
    network, gradient = gradient_graph(arch, size)
    return network, ir.to_proto(build_gpu_training_graph(network, gradient, DOUBLE, loop=loop))


def packed(network: Network, inputs: dict[str, Array]) -> dict[str, Array]:
    found = dict(inputs)
    for name, parts in packing(network).items():
        found[name] = np.concatenate([found.pop(part).reshape(-1) for part in parts])
    return found


def unpacked(
    network: Network, outputs: dict[str, Array], like: dict[str, Array]
) -> dict[str, Array]:
    found = {name.removeprefix(OUTPUT_PREFIX): array for name, array in outputs.items()}
    for name, parts in packing(network).items():
        sizes = [like[part].size for part in parts]
        pieces = np.split(found.pop(name), np.cumsum(sizes)[:-1])
        for part, piece in zip(parts, pieces, strict=True):
            found[part] = piece.reshape(like[part].shape)
    return found


def worst_tensor(arch: str, size: int, loop: bool, k: int, n: int, settings: Settings) -> float:
    network, graph = gpu_graph(arch, size, loop)
    model = make_model(arch, 3, seed=1)
    batches = random_batches(k, n, size, 3, seed=2)
    _, extended = training_graph(arch, size, DOUBLE, "trainExtended")
    start = feeds(extended, network, model, batches, settings, DOUBLE)
    start["batch_size"] = np.array(float(n))
    inputs = packed(network, start)
    if not loop:
        inputs |= {name: inputs[name][0] for name in ("images", "targets", "lr", "head_lr")}
    found = unpacked(network, run_reference(graph, inputs), start)
    expected = run_torch(model, network, batches, settings)
    assert set(found) == set(expected)
    if not loop:
        expected |= {name: expected[name][0] for name in ("losses", "logits")}
    return max(relative_error(found[name], array) for name, array in expected.items())


@pytest.mark.parametrize("loop", [True, False])
@pytest.mark.parametrize(
    "settings",
    [
        Settings(lr=(0.02,)),
        Settings(lr=(0.02,), head_lr=(0.1,), weight_decay=0.01, momentum=0.8),
        Settings(lr=(0.02,), weight_decay=0.01, nesterov=True, max_norm=0.5),
    ],
)
@pytest.mark.parametrize("batch", [1, 4])
def test_one_step(loop: bool, settings: Settings, batch: int) -> None:
    assert worst_tensor("tiny", 32, loop, 1, batch, settings) <= BOUND


def test_several_steps_a_call() -> None:
    settings = Settings(lr=(0.02, 0.01), weight_decay=0.01, nesterov=True, max_norm=0.5)
    assert worst_tensor("tiny", 32, True, 2, 3, settings) <= BOUND


@pytest.mark.parametrize("arch", ["resnet18", "resnet50"])
def test_one_step_of_a_whole_network(arch: str) -> None:
    """Uses 64x64 images, for which the reference evaluator is quick; the rules are the same."""
    assert worst_tensor(arch, 64, True, 1, 2, Settings(weight_decay=0.01)) <= BOUND


def test_the_state_is_handed_through() -> None:
    network, _ = gpu_graph("tiny", 32, False)
    graph = ir.to_proto(build_state_graph(network, DOUBLE))
    assert {node.op_type for node in graph.graph.node} == {"Identity"}
    shapes = [
        [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in graph.graph.input
    ]
    assert shapes == [
        [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in graph.graph.output
    ]
