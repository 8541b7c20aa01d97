"""Shapes of all values, with every dimension a number, a multiple of N, or unknown."""

from __future__ import annotations

import logging

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from scripts.artifacts.forward.draft import Draft
from scripts.artifacts.forward.folding.integers import (
    DIMENSION,
    Integers,
    dimension,
    symbolic_shape,
)

SAME_BATCH = {"Pad", "Resize"}
"""Operators of which ONNX's inference forgets the number of images; they do not change it."""


def infer_shapes(draft: Draft) -> None:
    """Infers what ONNX can infer, without the names that it invents for unknown dimensions."""
    # The pass logs what it cannot infer; a caller that needs the shape refuses the node by name.
    logging.getLogger(ShapeInferencePass.__module__).setLevel(logging.ERROR)
    ShapeInferencePass(check_type=False, strict_mode=False)(draft.model)
    for node in draft.graph:
        for output in node.outputs:
            if output.shape is not None:
                output.shape = ir.Shape([_known(dim) for dim in output.shape])


def _known(dim: int | ir.SymbolicDim) -> int | str | None:
    if isinstance(dim, int):
        return dim
    return dim.value if DIMENSION.fullmatch(dim.value or "") else None


def complete_shape(draft: Draft, integers: Integers, node: ir.Node) -> bool:
    """Finds an unknown dimension that depends on N; returns whether it found one."""
    output = node.outputs[0]
    if node.domain != "" or (output.shape is not None and symbolic_shape(output) is not None):
        return False
    data = node.inputs[0] if node.inputs else None
    source = None if data is None or data.shape is None else list(data.shape)
    found: list[int | str | None] | None = None
    if node.op_type in SAME_BATCH and source is not None and output.shape is not None:
        found = [_known(d) for d in output.shape]
        found[0] = _known(source[0])
    elif node.op_type == "Expand" and data is not None:
        first = symbolic_shape(data)
        target = None if node.inputs[1] is None else integers.known(node.inputs[1])
        if first is not None and target is not None:
            shapes = np.ones((2, max(len(first), target.size)), object)
            shapes[0, shapes.shape[1] - len(first) :] = first
            shapes[1, shapes.shape[1] - target.size :] = target.reshape(-1)
            found = [dimension(b if a == 1 else a) for a, b in shapes.T]
    if found is None or None in found:
        return False
    output.shape = ir.Shape(found)
    return True
