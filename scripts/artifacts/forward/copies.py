"""Tensors that an exporter merged because they were equal.

Rule 13: Identity of a learned tensor → a learned tensor of its own, under the name of the output.
    Exporters write these where a network has a tensor of each name.
Rule 14: a learned tensor that several nodes of a file read → one copy per reader. An exporter
    merges equal tensors, such as the ones that all BatchNorms begin with; the file does not say
    which of them are one tensor of the network.
"""

from __future__ import annotations

import onnx_ir as ir

from scripts.artifacts.forward.draft import Draft


def separate_copies(draft: Draft) -> None:
    """Applies rules 13 and 14 to a file; a module's graph has one tensor per name already."""
    for node in list(draft.graph):
        source = node.inputs[0] if node.inputs else None
        if node.op_type == "Identity" and source is not None and source.name in draft.state:
            output = node.outputs[0]
            name = output.name or ""
            output.name = f"{name}.identity"
            ir.convenience.replace_all_uses_with(output, _copy(draft, source, name))
            draft.graph.remove(node, safe=True)
    for value in list(draft.graph.initializers.values()):
        if value.name not in draft.state:
            continue
        for number, use in enumerate(tuple(value.uses())[1:], start=2):
            copy = _copy(draft, value, f"{value.name}.{number}")
            use.node.replace_input_with(use.idx, copy)


def _copy(draft: Draft, value: ir.Value, name: str) -> ir.Value:
    assert value.const_value is not None
    draft.state.add(name)
    return draft.add_constant(name, value.const_value.numpy())
