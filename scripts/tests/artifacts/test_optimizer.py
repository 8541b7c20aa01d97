"""Checks that numbers of equal rank change no bit of an update."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

from scripts.artifacts.stored import load_graph
from scripts.project import COMMITTED
from scripts.reference.evaluator import Array
from scripts.reference.training_step import (
    Settings,
    feeds,
    make_model,
    random_batches,
    training_graph,
)


def with_scalars(model: onnx.ModelProto) -> tuple[onnx.ModelProto, int]:
    """Returns the graph with scalars in place of those that it reshapes, and their number."""
    found = onnx.ModelProto()
    found.CopyFrom(model)
    nodes = found.graph.node
    scalars = {v.name for v in found.graph.input if not v.type.tensor_type.shape.dim}
    bodies = [a.g for node in nodes for a in node.attribute if a.name == "body"]
    (graph,) = bodies or [found.graph]
    scalars |= {v.name for v in graph.input if not v.type.tensor_type.shape.dim}
    scalars |= {n.output[0] for n in graph.node if n.op_type in ("Greater", "Min")}
    aliases = {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type == "Reshape" and node.input[0] in scalars
    }
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = aliases.get(name, name)
    return found, len(aliases)


def outputs(model: onnx.ModelProto, inputs: dict[str, Array]) -> dict[str, Array]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs), strict=True))


def assert_same_bits(model: onnx.ModelProto, inputs: dict[str, Array]) -> None:
    plain, replaced = with_scalars(model)
    assert replaced > 0, "expected numbers that are reshaped to the rank of a weight"
    found, expected = outputs(model, inputs), outputs(plain, inputs)
    for name, array in expected.items():
        assert found[name].tobytes() == array.tobytes(), name


@pytest.mark.parametrize("key", ["train", "trainExtended"])
def test_steps_of_the_tiny_network(key: str) -> None:
    """Takes two steps with weight decay, Nesterov momentum and clipping, as the graph can."""
    settings = Settings(lr=(0.02, 0.01), weight_decay=0.01, graph=key, nesterov=True, max_norm=0.5)
    network, graph = training_graph("tiny", 32, ir.DataType.FLOAT, key)
    batches = random_batches(2, 3, 32, 3)
    model = make_model("tiny", 3, seed=1)
    assert_same_bits(graph, feeds(graph, network, model, batches, settings, ir.DataType.FLOAT))


def test_the_update_of_resnet50() -> None:
    graph = load_graph(COMMITTED["resnet50"], "updateExtended")
    generator = np.random.default_rng(1)
    inputs: dict[str, Array] = {}
    for value in graph.graph.input:
        sizes = [d.dim_value or 3 for d in value.type.tensor_type.shape.dim]
        inputs[value.name] = generator.standard_normal(sizes).astype(np.float32)
    assert_same_bits(graph, inputs)
