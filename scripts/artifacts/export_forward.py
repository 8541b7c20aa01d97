"""Exports a PyTorch module in training mode to ONNX, with torch.onnx."""

from __future__ import annotations

import copy
import io
import warnings

import onnx
import torch
from torch import nn

from scripts.artifacts.graph_builder import IR_VERSION, OPSET


def export_forward(model: nn.Module, input_size: int) -> onnx.ModelProto:
    """Exports ``model`` in training mode: images [N, 3, S, S] -> logits, BatchNorm not folded."""
    buffer = io.BytesIO()
    model = copy.deepcopy(model).train()
    # onnxruntime-training merges small tensors that are equal, and a new network's running means
    # are all equal. Distinct values make the graph independent of the weights.
    with torch.no_grad():
        for number, tensor in enumerate(model.state_dict().values()):
            if tensor.is_floating_point():
                tensor.fill_(number + 1)
    with warnings.catch_warnings():
        # The exporter without dynamo prints that it is deprecated. onnxruntime-training 1.19.2
        # can differentiate its graphs, but not those of the new exporter.
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
