"""Exports a PyTorch module in training mode to ONNX, with torch.onnx."""

from __future__ import annotations

import copy
import io
import warnings

import onnx
import torch
from torch import nn

from scripts.artifacts.errors import NetworkError
from scripts.artifacts.graph_builder import IR_VERSION, OPSET

STATISTICS = ("running_mean", "running_var")
COUNTER = "num_batches_tracked"


def export_forward(model: nn.Module, input_size: int) -> onnx.ModelProto:
    """Exports ``model`` in training mode: images [N, 3, S, S] -> logits, BatchNorm not folded.

    Raises:
        NetworkError: the exporter fails.
    """
    buffer = io.BytesIO()
    model = copy.deepcopy(model).train()
    _make_distinct(model)
    with warnings.catch_warnings():
        # The exporter without dynamo prints that it is deprecated. onnxruntime-training 1.19.2
        # can differentiate its graphs, but not those of the new exporter.
        warnings.simplefilter("ignore")
        try:
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
        except Exception as error:
            # The exporter raises errors of many kinds; a module's own code runs inside, too.
            first = str(error).strip().splitlines()[0] if str(error).strip() else ""
            raise NetworkError(
                f"expected a network that torch.onnx can export at {input_size}x{input_size}, got "
                f"{type(error).__name__}: {first}; try another --input-size or network"
            ) from error
    exported = onnx.load_from_string(buffer.getvalue())
    exported.ir_version = IR_VERSION
    return onnx.shape_inference.infer_shapes(exported)


def _make_distinct(model: nn.Module) -> None:
    """Gives each parameter and running statistic a value of its own.

    onnxruntime-training merges small tensors that are equal, and a new network's running means are
    all equal. Distinct values make the graph independent of the weights. Other buffers, such as an
    index table, are constants of the network and keep their values.
    """
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for number, (name, tensor) in enumerate(model.state_dict().items()):
            if name in parameters or name.endswith(STATISTICS):
                tensor.fill_(number + 1)
