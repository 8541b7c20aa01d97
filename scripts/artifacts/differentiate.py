"""Adds the loss and the gradients to a forward graph, with onnxruntime-training.

This module only calls onnxruntime.training.artifacts.generate_artifacts and reads its result.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir as ir


@dataclass(frozen=True)
class GradientGraph:
    """Forward and backward nodes, and the values in them that the later stages need.

    Attributes:
        gradients: the gradient of each parameter, by the parameter's name.
        nodes: forward and backward nodes, topologically sorted.
    """

    model: ir.Model
    images: ir.Value
    labels: ir.Value
    loss: ir.Value
    logits: ir.Value
    gradients: dict[str, ir.Value]
    nodes: list[ir.Node]


def differentiate(forward: onnx.ModelProto, parameters: list[str]) -> GradientGraph:
    """Adds cross entropy and the gradients of ``parameters``.

    Raises:
        ValueError: onnxruntime-training gave no gradient for a parameter.
    """
    # Import here: this loads a second copy of much of PyTorch's native code, which the tests of
    # single lowering rules do not need.
    from onnxruntime.training import artifacts

    with tempfile.TemporaryDirectory() as folder, _silent_stderr():
        artifacts.generate_artifacts(
            forward,
            requires_grad=parameters,
            loss=artifacts.LossType.CrossEntropyLoss,
            artifact_directory=folder,
            additional_output_names=["logits"],
        )
        model = ir.from_proto(onnx.load(Path(folder) / "training_model.onnx"))
    graph = model.graph
    gradients: dict[str, ir.Value] = {}
    nodes: list[ir.Node] = []
    for node in graph:
        if node.op_type == "InPlaceAccumulatorV2":
            # This node adds up gradients over several backward passes. A step here is one pass,
            # so the gradient itself takes its place.
            buffer, gradient = node.inputs[0], node.inputs[1]
            assert buffer is not None and buffer.name is not None and gradient is not None
            gradients[buffer.name.removesuffix("_grad.accumulation.buffer")] = gradient
        else:
            nodes.append(node)
    missing = sorted(set(parameters) - set(gradients))
    if missing:
        raise ValueError(f"expected a gradient for every parameter, got none for {missing}")
    by_name = {value.name: value for value in graph.inputs}
    logits = next(value for value in graph.outputs if value.name == "logits")
    return GradientGraph(
        model=model,
        images=by_name["images"],
        labels=by_name["labels"],
        loss=graph.outputs[0],
        logits=logits,
        gradients=gradients,
        nodes=nodes,
    )


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Hides what native code writes to stderr, unless the body raises an exception."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield
        except BaseException:
            sink.seek(0)
            os.write(saved, sink.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
