"""From a PyTorch module to a gradient graph, with torch.onnx and onnxruntime-training.

Nothing here is ours but the calls: the forward graph comes from torch.onnx.export, the backward
nodes from onnxruntime.training.artifacts.generate_artifacts.
"""

from __future__ import annotations

import contextlib
import copy
import io
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir as ir
import torch
from torch import nn

from scripts.artifacts.graph_builder import IR_VERSION, OPSET


def export_forward(model: nn.Module, input_size: int) -> onnx.ModelProto:
    """Exports ``model`` in training mode: images [N, 3, S, S] -> logits, BatchNorm not folded."""
    buffer = io.BytesIO()
    model = copy.deepcopy(model).train()
    # onnxruntime-training merges small tensors that are equal, and at the start all running means
    # are. Distinct numbers keep the graph the same whatever the weights.
    with torch.no_grad():
        for number, tensor in enumerate(model.state_dict().values()):
            if tensor.is_floating_point():
                tensor.fill_(number + 1)
    with warnings.catch_warnings():
        # The exporter without dynamo is deprecated and prints so; its graphs are the ones that
        # onnxruntime-training 1.19.2 can differentiate.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (torch.zeros(2, 3, input_size, input_size),),
            buffer,  # type: ignore[arg-type]  # a stream works, the annotation lags
            input_names=["images"],
            output_names=["logits"],
            opset_version=OPSET,
            training=torch.onnx.TrainingMode.TRAINING,
            do_constant_folding=False,
            dynamic_axes={"images": {0: "N"}, "logits": {0: "N"}},
            dynamo=False,
        )
    exported = onnx.load_from_string(buffer.getvalue())
    exported.ir_version = IR_VERSION
    return onnx.shape_inference.infer_shapes(exported)


@dataclass(frozen=True)
class GradientGraph:
    """Forward and backward nodes, and where the interesting values are in them."""

    model: ir.Model
    images: ir.Value
    labels: ir.Value
    loss: ir.Value
    logits: ir.Value
    gradients: dict[str, ir.Value]
    nodes: list[ir.Node]


def differentiate(forward: onnx.ModelProto, parameters: list[str]) -> GradientGraph:
    """Adds cross entropy and the gradients of ``parameters`` with onnxruntime-training."""
    # Imported here: it loads a second copy of much of torch's stack, which tests of single rules
    # do not need.
    from onnxruntime.training import artifacts

    with tempfile.TemporaryDirectory() as folder, _quiet():
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
            # Accumulation over several backward passes; here a step is one pass.
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
def _quiet() -> Iterator[None]:
    """Sends what the native code logs to stderr nowhere, unless the body fails."""
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
