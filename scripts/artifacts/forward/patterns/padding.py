"""Pads that the next layer can do itself.

Rule 6: Pad with zeros along rows and columns, read by convolutions or average pools alone → their
    own pads, which may differ per side (TensorFlow's "same" padding). The average counts them.
Rule 7: Pad with values below every number that a float16 holds, read by max pools alone → the
    pools' own pads, which never win.
"""

from __future__ import annotations

import onnx_ir as ir

from scripts.artifacts.forward.draft import Array, Draft

LOWEST = -65504.0
"""Smallest float16."""


def move_pads(draft: Draft) -> None:
    """Applies rules 6 and 7."""
    for node in list(draft.graph):
        if node.op_type != "Pad" or node.domain != "":
            continue
        pads = _spatial(draft, node)
        readers = [use.node for use in node.outputs[0].uses()]
        if pads is None or not readers or node.outputs[0].is_graph_output():
            continue
        fill = draft.scalar(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else 0.0
        if fill is None or not all(_takes(reader, fill) for reader in readers):
            continue
        for reader in readers:
            own = list(reader.attributes.get_ints("pads", (0, 0, 0, 0)))
            total = [int(a + b) for a, b in zip(own, pads, strict=True)]
            reader.attributes["pads"] = ir.AttrInt64s("pads", total)
            if reader.op_type == "AveragePool":
                reader.attributes["count_include_pad"] = ir.AttrInt64("count_include_pad", 1)
            reader.replace_input_with(0, node.inputs[0])
        draft.graph.remove(node, safe=True)


def _spatial(draft: Draft, node: ir.Node) -> Array | None:
    """Returns the pads top, left, bottom, right; None if other axes are padded or images cut."""
    pads = draft.constant(node.inputs[1])
    plain = node.attributes.get_string("mode", "constant") == "constant" and len(node.inputs) < 4
    if pads is None or not plain or len(pads) != 8:
        return None
    if pads[[0, 1, 4, 5]].any() or (pads < 0).any():
        return None
    spatial: Array = pads[[2, 3, 6, 7]]
    return spatial


def _takes(node: ir.Node, fill: float) -> bool:
    """Returns whether the node can pad with ``fill`` itself."""
    attributes = node.attributes
    if node.domain != "" or attributes.get_string("auto_pad", "NOTSET") not in ("NOTSET", ""):
        return False
    if node.op_type == "AveragePool":
        counted = attributes.get_int("count_include_pad", 0) == 1
        whole = attributes.get_int("ceil_mode", 0) == 0
        return fill == 0 and whole and (counted or not any(attributes.get_ints("pads", (0,))))
    return fill == 0 if node.op_type == "Conv" else node.op_type == "MaxPool" and fill <= LOWEST
