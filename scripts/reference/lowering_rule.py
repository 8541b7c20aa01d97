"""Runs one lowering rule alone, in float64, on the ONNX reference evaluator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import torch

from scripts.artifacts.graph_builder import GraphBuilder, standard_model
from scripts.artifacts.lowering import lower
from scripts.artifacts.lowering.gpu.table import GPU_RULES
from scripts.reference.evaluator import Array, run_reference

DOUBLE = ir.DataType.DOUBLE
MS = "com.microsoft"


def placeholder(name: str, array: Array, symbolic_batch: bool = True) -> ir.Value:
    """Returns a graph input of ``array``'s shape.

    The first dimension of an image tensor is symbolic, as in training, unless told otherwise.
    """
    shape: list[int | str] = list(array.shape)
    if symbolic_batch and len(shape) == 4:
        shape[0] = "N"
    return ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(DOUBLE))


def gradient_node(
    domain: str,
    op_type: str,
    inputs: Sequence[ir.Value | None],
    attributes: Mapping[str, Any],
    outputs: Sequence[str],
) -> ir.Node:
    """Returns a node of the gradient graph; an output without a name is read by no node."""
    node = ir.node(op_type, list(inputs), dict(attributes), domain=domain, num_outputs=len(outputs))
    node.name = op_type
    for value, name in zip(node.outputs, outputs, strict=True):
        value.name = name
    return node


def evaluate(
    nodes: Sequence[ir.Node],
    feeds: Mapping[ir.Value, Array],
    wanted: Sequence[ir.Value],
    *,
    masks: Mapping[str, ir.Value] = MappingProxyType({}),
    gpu: bool = False,
) -> list[Array]:
    """Lowers ``nodes`` and computes ``wanted`` (values of the old graph) from ``feeds``.

    Args:
        masks: masks of the nodes that draw random numbers, by the node's name.
        gpu: lower as for a GPU.
    """
    op = GraphBuilder(DOUBLE, for_gpu=gpu)
    op.masks = masks
    model = _lowered(op, nodes, list(feeds), wanted)
    return list(run_reference(model, _named(feeds)).values())


def _lowered(
    op: GraphBuilder,
    nodes: Sequence[ir.Node],
    inputs: Sequence[ir.Value],
    wanted: Sequence[ir.Value],
) -> onnx.ModelProto:
    op.values = {value: value for value in inputs}
    lower(op, nodes, GPU_RULES if op.for_gpu else {})
    results = [op.lowered(value) for value in wanted]
    for result in results:
        result.type = ir.TensorType(op.dtype)
    return ir.to_proto(standard_model("rule", inputs, results, op.nodes, op.constants))


def _named(feeds: Mapping[ir.Value, Array]) -> dict[str, Array]:
    return {str(value.name): array for value, array in feeds.items()}


def evaluate_single(nodes: Sequence[ir.Node], feeds: Mapping[ir.Value, Array]) -> list[Array]:
    """Lowers ``nodes`` in float32 and computes the last node's outputs with ONNX Runtime."""
    for value in feeds:
        value.type = ir.TensorType(ir.DataType.FLOAT)
    model = _lowered(GraphBuilder(), nodes, list(feeds), nodes[-1].outputs)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    single = {name: array.astype(np.float32) for name, array in _named(feeds).items()}
    return [np.asarray(array) for array in session.run(None, single)]


def assert_close(found: Array, expected: Array, rtol: float = 1e-10, atol: float = 1e-11) -> None:
    """Fails unless the two arrays agree up to the rounding of float64."""
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    """Returns normal numbers of the given shape, float64."""
    return torch.randn(*shape, dtype=torch.double, generator=torch.Generator().manual_seed(seed))


def numpy(tensor: torch.Tensor | None) -> Array:
    """Converts a tensor, which must not be None, to an array."""
    assert tensor is not None
    return tensor.detach().numpy()


def backpropagate(y: torch.Tensor, d_y: torch.Tensor | None = None) -> None:
    """Runs PyTorch's backward pass from ``y``."""
    y.backward(d_y)  # type: ignore[no-untyped-call]


def builder_with(value: ir.Value) -> GraphBuilder:
    """Returns a builder whose ``values`` map one value to itself."""
    op = GraphBuilder()
    op.values = {value: value}
    return op
