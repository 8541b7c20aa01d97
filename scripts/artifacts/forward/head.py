"""The head: the last layer with parameters, found backwards from the logits.

Rule 15: Softmax or LogSoftmax before the end → left out; the loss reads logits.
Rule 16: a 1x1 Conv as the head, as in SqueezeNet → a matrix product over the channels, so that no
    shape but the logits' own depends on the number of classes.
Rule 17: Reshape of [N, C, 1, 1] to [N, C] behind the head → Flatten, for the same reason.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from scripts.artifacts.errors import NetworkError
from scripts.artifacts.forward.draft import Draft
from scripts.artifacts.forward.folding.shape_inference import infer_shapes
from scripts.artifacts.graph_builder import static_shape
from scripts.artifacts.network import CLASSES, Shape

LAYERS = {"Gemm": (1, 2), "MatMul": (1,), "Conv": (1, 2)}
"""Layers that can be a head, and the inputs that hold their parameters."""

PASSED = {
    *(
        "Flatten",
        "Reshape",
        "Squeeze",
        "Transpose",
        "GlobalAveragePool",
        "ReduceMean",
        "AveragePool",
    ),
    *("Relu", "Dropout", "Identity"),
}
"""Operators without parameters that may stand between the head and the logits."""


def leave_out_softmax(draft: Draft) -> None:
    """Applies rule 15."""
    logits = draft.graph.outputs[0]
    node = logits.producer()
    if node is None or node.op_type not in ("Softmax", "LogSoftmax") or node.inputs[0] is None:
        return
    name, source = logits.name, node.inputs[0]
    logits.name = f"{name}.softmax"
    draft.graph.outputs[0] = source
    source.name = name
    draft.graph.remove(node, safe=True)
    draft.lost.append(f"{node.op_type} at the end is left out, because the loss reads logits.")


def find_head(draft: Draft) -> dict[str, Shape]:
    """Applies rules 16 and 17; returns the head's parameters and their shapes, with ``C``.

    Raises:
        NetworkError: the way back from the logits meets no layer that could be the head.
    """
    logits = draft.graph.outputs[0]
    behind, bias = [], None
    node = logits.producer()
    while node is not None and node.op_type not in LAYERS:
        learned = [v for v in node.inputs if v is not None and v.name in draft.state]
        if node.op_type == "Add" and bias is None and len(learned) == 1:
            bias = learned[0]
        elif node.op_type not in PASSED:
            break
        behind.append(node)
        first = next(v for v in node.inputs if v not in learned)
        node = None if first is None else first.producer()
    if node is None or node.op_type not in LAYERS or not _weight(draft, node):
        found = "nothing" if node is None else f"{node.op_type} ({node.name})"
        raise NetworkError(
            "expected a Gemm, MatMul or 1x1 Conv with weights before the logits, got "
            f"{found}; give the network one last layer that computes the logits"
        )
    shapes = _shapes(draft, node, bias)
    for other in behind:
        _flatten(draft, other)
    if node.op_type == "Conv":
        _as_matrix_product(draft, node)
        infer_shapes(draft)
    _mark_classes(draft.graph, shapes)
    return shapes


def _weight(draft: Draft, node: ir.Node) -> bool:
    weight = node.inputs[1]
    kernel = [] if weight is None or weight.shape is None else list(weight.shape)[2:]
    return weight is not None and weight.name in draft.state and all(d == 1 for d in kernel)


def _shapes(draft: Draft, node: ir.Node, bias: ir.Value | None) -> dict[str, Shape]:
    """Returns the shapes of the head's parameters; the classes are the weight's output channels."""
    read = [node.inputs[k] for k in LAYERS[node.op_type] if k < len(node.inputs)]
    rows_first = node.op_type == "Conv" or node.attributes.get_int("transB", 0) == 1
    found: dict[str, Shape] = {}
    for value in (*read, bias):
        if value is None or value.name not in draft.state or value.shape is None:
            continue
        dims: list[int | str] = [d if isinstance(d, int) else str(d) for d in value.shape]
        dims[0 if rows_first else -1] = CLASSES
        found[value.name or ""] = dims
    return found


def _flatten(draft: Draft, node: ir.Node) -> None:
    """Applies rule 17."""
    source, output = node.inputs[0], node.outputs[0]
    if node.op_type == "Reshape" and output.shape is not None and len(output.shape) == 2:
        draft.fuse(output, "Flatten", [source], {"axis": 1}, "")


def _as_matrix_product(draft: Draft, node: ir.Node) -> None:
    """Applies rule 16: Y[n, c, h, w] = sum_f X[n, f, h, w] W[c, f] + b[c], with channels last."""
    x, weight = node.inputs[:2]
    name, output = node.name or "head", node.outputs[0]
    rows = draft.add_constant(f"{name}_rows", np.array([0, -1], np.int64))
    flat = draft.insert(node, "Reshape", [weight, rows], name=f"{name}/Reshape")
    matrix = draft.insert(node, "Transpose", [flat], {"perm": [1, 0]}, name=f"{name}/weight")
    last = draft.insert(node, "Transpose", [x], {"perm": [0, 2, 3, 1]}, name=f"{name}/Transpose")
    product = draft.insert(node, "MatMul", [last, matrix], name=f"{name}/MatMul")
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        product = draft.insert(node, "Add", [product, node.inputs[2]], name=f"{name}/Add")
    draft.fuse(output, "Transpose", [product], {"perm": [0, 3, 1, 2]}, "")


def _mark_classes(graph: ir.Graph, shapes: dict[str, Shape]) -> None:
    """Gives what the head computes a symbolic number of classes, from the weight to the logits."""
    axes = {graph.initializers[name]: list(shape).index(CLASSES) for name, shape in shapes.items()}
    for node in graph:
        value = next((v for v in node.inputs if v in axes), None)
        if value is None:
            continue
        output = node.outputs[0]
        dims, rank = list(static_shape(output)), len(static_shape(value))
        match node.op_type:
            case "Gemm" | "MatMul":
                axis = len(dims) - 1
            case "Add":
                axis = axes[value] + len(dims) - rank
            case "Transpose":
                axis = list(node.attributes.get_ints("perm")).index(axes[value])
            case _:
                axis = min(axes[value], len(dims) - 1)
        axes[output] = axis
        assert output.shape is not None
        output.shape = ir.Shape([CLASSES if k == axis else d for k, d in enumerate(output.shape)])
