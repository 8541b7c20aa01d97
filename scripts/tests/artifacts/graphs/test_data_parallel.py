"""Compares the pair of graphs for data parallel training with the single graph, in float64."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from scripts.artifacts.graphs.data_parallel import (
    GRADIENT_PREFIX,
    build_gradients_graph,
    build_update_graph,
)
from scripts.artifacts.network import Network
from scripts.reference.evaluator import Array, run_reference
from scripts.reference.training_step import (
    DOUBLE,
    Batches,
    Settings,
    feeds,
    gradient_graph,
    make_model,
    random_batches,
    relative_error,
    run_graph,
    training_graph,
)

BOUND = 1e-12
SETTINGS = Settings(lr=(0.02, 0.01), head_lr=(0.1, 0.05), momentum=0.8, weight_decay=0.01)
NESTEROV = replace(SETTINGS, nesterov=True, graph="trainExtended")
FROZEN = replace(NESTEROV, graph="trainHead")


@dataclass(frozen=True)
class Pair:
    """The two graphs of a step, and the network that learns."""

    network: Network
    learning: Network
    gradients: onnx.ModelProto
    update: onnx.ModelProto


def split_graphs(arch: str, size: int, key: str = "train") -> Pair:
    """Builds the pair that replaces the single graph of this key."""
    frozen = key == "trainHead"
    network, gradient = gradient_graph(arch, size, frozen=frozen)
    learning = network.head_only() if frozen else network
    return Pair(
        network,
        learning,
        ir.to_proto(build_gradients_graph(network, gradient, DOUBLE, frozen=frozen)),
        ir.to_proto(build_update_graph(learning, DOUBLE, extended=key != "train")),
    )


def named_gradients(network: Network, inputs: dict[str, Array], flat: Array) -> dict[str, Array]:
    """Cuts up the flat gradients as training does, in the order of the parameters."""
    found, begin = {}, 0
    for name in network.parameters:
        shape = inputs[name].shape
        end = begin + int(np.prod(shape))
        found[f"{GRADIENT_PREFIX}{name}"] = flat[begin:end].reshape(shape)
        begin = end
    assert begin == len(flat)
    return found


def run_pair(pair: Pair, inputs: dict[str, Array], ranks: int = 1) -> dict[str, Array]:
    """Takes steps with both graphs, every rank on the same batches; returns the new state."""
    learning = pair.learning.state()
    state = {name: inputs[name] for name in {**pair.network.state(), **learning} if name in inputs}
    rates = {entry.name for entry in pair.update.graph.input} - state.keys()
    losses, logits = [], []
    for step in range(len(inputs["head_lr"])):
        batch = {"images": inputs["images"][step], "targets": inputs["targets"][step] / ranks}
        kept = {name: state[name] for name in (*pair.network.parameters, *pair.network.buffers)}
        found = run_reference(pair.gradients, {**batch, **kept})
        reduced = sum(found["gradients"] for _ in range(ranks))
        given = {name: inputs[name] for name in rates if name in inputs}
        given |= {name: given[name][step] for name in ("lr", "head_lr") if name in given}
        old = {name: state[name] for name in learning if name not in pair.learning.buffers}
        parts = named_gradients(pair.learning, inputs, np.asarray(reduced))
        new = {**found, **run_reference(pair.update, {**given, **old, **parts})}
        state |= {name: new[f"next.{name}"] for name in learning}
        losses.append(found["loss"] * ranks)
        logits.append(found["logits"])
    learned = {name: state[name] for name in learning}
    return {"losses": np.array(losses), "logits": np.array(logits), **learned}


def worst(found: dict[str, Array], expected: dict[str, Array]) -> tuple[float, str]:
    assert set(found) == set(expected)
    return max((relative_error(found[name], expected[name]), name) for name in expected)


def single(
    arch: str, size: int, batches: Batches, settings: Settings = SETTINGS
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Returns the single graph's inputs and outputs."""
    network, graph = training_graph(arch, size, DOUBLE, settings.graph)
    model = make_model(arch, batches.classes, seed=1)
    inputs = feeds(graph, network, model, batches, settings)
    return inputs, run_graph(graph, inputs)


@pytest.mark.parametrize("settings", [SETTINGS, NESTEROV, FROZEN], ids=lambda one: one.graph)
@pytest.mark.parametrize(("arch", "size"), [("tiny", 32), ("resnet18", 64)])
def test_the_pair_gives_the_single_graphs_numbers(arch: str, size: int, settings: Settings) -> None:
    inputs, expected = single(arch, size, random_batches(2, 3, size, 5, seed=2), settings)
    error, name = worst(run_pair(split_graphs(arch, size, settings.graph), inputs), expected)
    assert error <= BOUND, name


def test_ranks_with_the_same_batch_are_one_rank() -> None:
    inputs, expected = single("tiny", 32, random_batches(2, 3, 32, 3, seed=2))
    error, name = worst(run_pair(split_graphs("tiny", 32), inputs, ranks=3), expected)
    assert error <= BOUND, name


def test_a_sum_in_place_of_the_mean_is_noticed() -> None:
    inputs, expected = single("tiny", 32, random_batches(2, 3, 32, 3, seed=2))
    twice = {**inputs, "targets": inputs["targets"] * 2}
    error, _ = worst(run_pair(split_graphs("tiny", 32), twice), expected)
    assert error > 0.1


@pytest.mark.parametrize("settings", [NESTEROV, FROZEN], ids=lambda one: one.graph)
def test_nesterov_left_out_is_noticed(settings: Settings) -> None:
    inputs, expected = single("tiny", 32, random_batches(2, 3, 32, 3, seed=2), settings)
    plain = {**inputs, "nesterov": np.zeros(())}
    error, _ = worst(run_pair(split_graphs("tiny", 32, settings.graph), plain), expected)
    assert error > 0.01


def test_the_interfaces_are_symbolic_in_n_c_and_p() -> None:
    pair = split_graphs("tiny", 32)
    shapes = [
        {
            value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
            for value in [*model.graph.input, *model.graph.output]
        }
        for model in (pair.gradients, pair.update)
    ]
    gradients, update = shapes
    assert gradients["images"] == ["N", 3, 32, 32]
    assert gradients["targets"] == gradients["logits"] == ["N", "C"]
    assert gradients["loss"] == []
    assert gradients["gradients"] == ["P"]
    assert update["gradient.fc.weight"] == update["next.momentum.fc.weight"] == ["C", 32]
    assert update["lr"] == update["head_lr"] == update["momentum"] == update["weight_decay"] == []
