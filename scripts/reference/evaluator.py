"""ONNX's reference evaluator: computes in float64 what ONNX Runtime can compute in float32 only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

Array = np.ndarray[Any, np.dtype[Any]]


class Pad(OpRun):
    """Constant padding; negative pads cut, as the specification says.

    The evaluator's own operator passes negative pads to numpy.pad, which refuses them.
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


class ConvTranspose(OpRun):
    """Transposed convolution: adds each input pixel, times the kernel, to the output.

    The evaluator's own operator fails for more than one group.
    """

    def _run(
        self,
        x: Array,
        weight: Array,
        bias: Array | None = None,
        auto_pad: Any = None,
        dilations: Sequence[int] | None = None,
        group: int | None = None,
        kernel_shape: Any = None,
        output_padding: Sequence[int] | None = None,
        output_shape: Any = None,
        pads: Sequence[int] | None = None,
        strides: Sequence[int] | None = None,
    ) -> tuple[Array]:
        step, spread, begin = strides or (1, 1), dilations or (1, 1), pads or (0, 0, 0, 0)
        extra, groups = output_padding or (0, 0), group or 1
        batch, channels, rows, columns = x.shape
        parts = x.reshape(batch, groups, channels // groups, rows, columns)
        kernels = weight.reshape(groups, channels // groups, *weight.shape[1:])
        height, width = (
            step[a] * (x.shape[a + 2] - 1) + spread[a] * (weight.shape[a + 2] - 1) + 1 + extra[a]
            for a in (0, 1)
        )
        full = np.zeros((batch, groups, weight.shape[1], height, width), x.dtype)
        for i in range(weight.shape[2]):
            for j in range(weight.shape[3]):
                top, left = i * spread[0], j * spread[1]
                bottom, right = top + step[0] * (rows - 1) + 1, left + step[1] * (columns - 1) + 1
                full[:, :, :, top : bottom : step[0], left : right : step[1]] += np.einsum(
                    "ngcpq,gco->ngopq", parts, kernels[:, :, :, i, j]
                )
        merged = full.reshape(batch, groups * weight.shape[1], height, width)
        cut = merged[:, :, begin[0] : height - begin[2], begin[1] : width - begin[3]]
        return (cut if bias is None else cut + bias.reshape(-1, 1, 1),)


class Erf(OpRun):
    """The error function; the evaluator's own operator returns float32 for float64."""

    def _run(self, x: Array) -> tuple[Array]:
        return (np.vectorize(math.erf, otypes=[x.dtype])(x).reshape(x.shape),)


def run_reference(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Returns all outputs by name, computed in the model's own types."""
    outputs = ReferenceEvaluator(model, new_ops=[Pad, ConvTranspose, Erf]).run(None, dict(feeds))
    names = [value.name for value in model.graph.output]
    return {name: np.asarray(array) for name, array in zip(names, outputs, strict=True)}
