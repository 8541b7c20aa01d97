"""Nodes that change nothing.

Rule 5: Identity, Dropout in evaluation mode or with ratio 0, Cast to the type that the value has,
    Pad by nothing, Concat or Sum of one value, Expand and Reshape to the shape that the value has →
    the value itself.
"""

from __future__ import annotations

import onnx_ir as ir

from scripts.artifacts.forward.draft import Draft
from scripts.artifacts.forward.folding.integers import symbolic_shape


def remove_identities(draft: Draft) -> None:
    """Applies rule 5; a Dropout that stays is one in training mode."""
    for node in list(draft.graph):
        value = node.inputs[0] if node.inputs else None
        if value is None or node.domain != "" or not _changes_nothing(draft, node):
            continue
        output = node.outputs[0]
        if output.is_graph_output() and (value.is_graph_input() or value.is_initializer()):
            continue
        if output.is_graph_output():
            value.name, output.name = output.name, f"{output.name}.identity"
        ir.convenience.replace_all_uses_with(output, value, replace_graph_outputs=True)
        draft.graph.remove(node, safe=True)


def _changes_nothing(draft: Draft, node: ir.Node) -> bool:
    match node.op_type:
        case "Identity":
            return True
        case "Dropout":
            training = draft.constant(node.inputs[2]) if len(node.inputs) > 2 else None
            return training is None or not bool(training) or draft.scalar(node.inputs[1]) == 0
        case "Cast":
            source, target = node.inputs[0], node.attributes.get_int("to", 0)
            return source is not None and source.dtype is not None and source.dtype.value == target
        case "Pad":
            pads = draft.constant(node.inputs[1])
            return pads is not None and not pads.any()
        case "Concat" | "Sum":
            return len(node.inputs) == 1
        case "Reshape" | "Expand":
            return _same_shape(node.inputs[0], node.outputs[0])
    return False


def _same_shape(value: ir.Value | None, other: ir.Value) -> bool:
    first = None if value is None else symbolic_shape(value)
    return first is not None and first == symbolic_shape(other)
