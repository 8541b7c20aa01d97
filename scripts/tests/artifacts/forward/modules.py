"""Small modules whose exports have the patterns that the passes replace."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable

import onnx
import torch
import torch.nn.functional as F
from torch import nn


class Classifier(nn.Module):
    """A convolution, something in the middle, a global pool and a linear head."""

    def __init__(self, middle: Callable[[torch.Tensor], torch.Tensor], classes: int = 2) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.middle = middle
        self.fc = nn.Linear(8, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images [N, 3, S, S] -> logits [N, C]."""
        x = self.middle(self.conv(x))
        logits: torch.Tensor = self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return logits


def inference_export(model: nn.Module, size: int, opset: int = 17) -> onnx.ModelProto:
    """Exports a module as a user does: in evaluation mode, with BatchNorm folded."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval(),
            (torch.zeros(1, 3, size, size),),
            buffer,  # type: ignore[arg-type]  # a stream works, the annotation lags
            input_names=["pixels"],
            output_names=["scores"],
            opset_version=opset,
            dynamic_axes={"pixels": {0: "batch"}, "scores": {0: "batch"}},
            dynamo=False,
        )
    return onnx.load_from_string(buffer.getvalue())


def operators(proto: onnx.ModelProto) -> list[str]:
    """Returns the operator types of a graph, in order."""
    return [node.op_type for node in proto.graph.node]
