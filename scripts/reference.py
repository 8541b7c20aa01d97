"""ONNX's reference evaluator: every operator in float64, where the runtime has float32 kernels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

Array = np.ndarray[Any, np.dtype[Any]]


class Pad(OpRun):
    """Constant padding where negative numbers cut, as the specification says.

    The evaluator's own operator hands them to numpy.pad, which refuses them.
    """

    def _run(
        self, data: Array, pads: Array, constant_value: Any = None, mode: str = "constant"
    ) -> tuple[Array]:
        if mode != "constant":
            raise NotImplementedError(f"expected constant padding, got {mode}")
        begins, ends = np.split(pads, 2)
        cut = [
            slice(max(0, -b), n - max(0, -e))
            for b, e, n in zip(begins, ends, data.shape, strict=True)
        ]
        width = [(max(0, b), max(0, e)) for b, e in zip(begins, ends, strict=True)]
        fill = 0 if constant_value is None else np.asarray(constant_value).item()
        padded: Array = np.pad(data[tuple(cut)], width, constant_values=fill)
        return (padded.astype(data.dtype),)


def run_reference(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """All outputs by name, computed in the model's own types."""
    outputs = ReferenceEvaluator(model, new_ops=[Pad]).run(None, dict(feeds))
    names = [value.name for value in model.graph.output]
    return {name: np.asarray(array) for name, array in zip(names, outputs, strict=True)}
