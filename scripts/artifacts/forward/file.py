"""Reads a classifier's ONNX file: an inference export of any program."""

from __future__ import annotations

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import LiftConstantsToInitializersPass, NameFixPass

from scripts.artifacts.errors import NetworkError
from scripts.artifacts.forward.copies import separate_copies
from scripts.artifacts.forward.draft import Draft
from scripts.artifacts.forward.opset import to_opset
from scripts.artifacts.graph_builder import IR_VERSION

WEIGHTS: dict[str, tuple[int, ...]] = {
    "Conv": (1, 2),
    "Gemm": (1, 2),
    "MatMul": (0, 1),
    "BatchNormalization": (1, 2, 3, 4),
    "LayerNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "PRelu": (1,),
}
"""Inputs that hold weights wherever the operator stands."""

BESIDE_WEIGHTS = {"Add", "Sub", "Mul", "Div", "Concat", "Expand", "Gather", "Reshape", "Transpose"}
"""Operators whose named constants are weights too, behind the first layer."""

FOLDED = (
    "BatchNorm is folded into the convolutions: it keeps no statistics and normalises nothing "
    "while the network trains."
)
NO_DROPOUT = "Dropout and stochastic depth are removed, if the network had them."


def read_file(proto: onnx.ModelProto, input_size: int) -> Draft:
    """Returns the graph of a file, with images [N, 3, S, S] and one tensor per use of a weight.

    Raises:
        NetworkError: the file does not have one input of images and one output of logits.
    """
    model = ir.from_proto(to_opset(proto))
    model.ir_version = IR_VERSION
    NameFixPass()(model)
    _name_nodes(model.graph)
    _interface(model.graph, input_size)
    named = {value.name for value in model.graph.initializers.values()}
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    draft = Draft(model, set())
    draft.state = _weights(draft, named)
    separate_copies(draft)
    operators = {node.op_type for node in model.graph}
    if "BatchNormalization" not in operators and "Conv" in operators:
        draft.lost.append(FOLDED)
    if not any(node.op_type == "Dropout" and len(node.inputs) > 2 for node in model.graph):
        draft.lost.append(NO_DROPOUT)
    return draft


def _name_nodes(graph: ir.Graph) -> None:
    for number, node in enumerate(graph):
        node.name = node.name or f"{node.op_type}_{number}"


def _interface(graph: ir.Graph, input_size: int) -> None:
    """Names the input and the output as the builders do, and fixes the shape of the images."""
    inputs = [value for value in graph.inputs if not value.is_initializer()]
    shape = inputs[0].shape if len(inputs) == 1 else None
    if shape is None or len(shape) != 4 or shape[1] not in (3,) or len(graph.outputs) != 1:
        found = ", ".join(f"{value.name} {value.shape}" for value in inputs)
        raise NetworkError(
            f"expected one input [N, 3, S, S] and one output, got the inputs {found or 'none'} and "
            f"{len(graph.outputs)} outputs; export the classifier alone"
        )
    for size in list(shape)[2:]:
        if isinstance(size, int) and size != input_size:
            raise NetworkError(
                f"expected images of {input_size}x{input_size}, got a file for "
                f"{shape[2]}x{shape[3]}; use --input-size {size}, or export it for {input_size}"
            )
    graph.inputs[:] = inputs
    images, logits = inputs[0], graph.outputs[0]
    images.name, logits.name = "images", "logits"
    images.shape = ir.Shape(["N", 3, input_size, input_size])
    logits.shape = None
    for node in graph:  # shapes of the file: its N may be a number or have another name
        for value in node.outputs:
            value.shape = None


def _weights(draft: Draft, named: set[str | None]) -> set[str]:
    """Returns the tensors that learn: read by a layer, or by arithmetic behind the first layer.

    Arithmetic on the images before it is preprocessing, such as a mean and a deviation.
    """
    found: set[str] = set()
    behind: set[ir.Value] = set()
    for node in draft.graph:
        reads = [v for v in node.inputs if v is not None]
        inside = not behind.isdisjoint(reads)
        for position, value in enumerate(node.inputs):
            if value is None or not _is_tensor(value) or node.domain != "":
                continue
            beside = inside and node.op_type in BESIDE_WEIGHTS and value.name in named
            if position in WEIGHTS.get(node.op_type, ()) or beside:
                found.add(value.name or "")
            elif node.op_type == "Identity" and value.name in named:
                behind |= set(node.outputs)
                found.add(value.name or "")
        if inside or any(value.name in found for value in reads):
            behind |= set(node.outputs)
    return found


def _is_tensor(value: ir.Value) -> bool:
    floating = value.dtype in (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16)
    return value.is_initializer() and floating and value.shape is not None and len(value.shape) > 0
