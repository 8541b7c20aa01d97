"""Brings a file to the operator set of the project's graphs.

Rule 19: older files → converted by ONNX's own converter.
Rule 20: newer files → read as they are, where the operators mean the same; axes of ReduceMean,
    ReduceMax and ReduceMin as an input, and the number of outputs of Split → as in opset 17.
"""

from __future__ import annotations

import onnx
from onnx import numpy_helper
from onnx.version_converter import convert_version

from scripts.artifacts.errors import NetworkError
from scripts.artifacts.forward.draft import Array
from scripts.artifacts.graph_builder import OPSET

REDUCTIONS = ("ReduceMean", "ReduceMax", "ReduceMin")
KEPT = {"Gelu", "Resize", "Pad", "Reshape", "Shape", "Cast", "Identity", "Split", *REDUCTIONS}
"""Operators that later sets extended; what a file of a classifier uses of them has one meaning."""


def to_opset(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the model in opset 17.

    Raises:
        NetworkError: an operator has another meaning in the file's operator set.
    """
    version = next((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), OPSET)
    if version < OPSET:
        return convert_version(proto, OPSET)
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    if version > OPSET:
        constants = _constants(model.graph)
        for node in model.graph.node:
            if node.domain in ("", "ai.onnx"):
                _rewrite(node, version, constants)
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx"):
            opset.version = OPSET
    return model


def _constants(graph: onnx.GraphProto) -> dict[str, Array]:
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return found


def _rewrite(
    node: onnx.NodeProto,
    version: int,
    constants: dict[str, Array],
) -> None:
    """Applies rule 20 to one node."""
    schema = onnx.defs.get_schema(node.op_type, version)
    if schema.since_version <= OPSET:
        return
    if node.op_type not in KEPT:
        raise NetworkError(
            f"expected opset {OPSET}, got {node.op_type} ({node.name}) of opset {version}, which "
            f"{OPSET} does not have in this form; export the network with opset {OPSET}"
        )
    if node.op_type in REDUCTIONS and len(node.input) > 1:
        axes = [int(a) for a in constants[node.input[1]]]
        del node.input[1:]
        node.attribute.append(onnx.helper.make_attribute("axes", axes))
    if node.op_type == "Split":
        for attribute in [a for a in node.attribute if a.name == "num_outputs"]:
            node.attribute.remove(attribute)
