"""Checks that a graph runs on a CUDA GPU alone: each operator has a kernel, no shape is read.

If the provider lacks a kernel, the runtime silently puts the node on the CPU and copies its inputs
and outputs. In a loop of training steps each copy makes the GPU wait.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import onnx
from onnx import TensorProto

SOURCE = "onnxruntime, docs/OperatorKernels.md, section CUDAExecutionProvider"
"""Source of KERNELS: a list that ONNX Runtime generates from its registered kernels, as of 1.30.

KERNELS has only the kernels that include opset 17, and only the types of TYPES.
"""

TYPES: dict[int, str] = {
    TensorProto.FLOAT: "float",
    TensorProto.BOOL: "bool",
    TensorProto.INT64: "int64",
}


@dataclass(frozen=True)
class Kernel:
    """A registered kernel.

    Attributes:
        since: first opset.
        until: last opset, included; None for all later ones.
        types: element types of the inputs.
    """

    since: int
    until: int | None
    types: frozenset[str]


def _kernel(since: int, until: int | None = None, *types: str) -> Kernel:
    return Kernel(since, until, frozenset(types or ("float",)))


ALL = ("bool", "float", "int64")
NUMBERS = ("float", "int64")

KERNELS: dict[str, Kernel] = {
    "Add": _kernel(14, None, *NUMBERS),
    "BatchNormalization": _kernel(15),
    "Cast": _kernel(13, 18, *ALL),
    "Concat": _kernel(13, None, *ALL),
    "Conv": _kernel(11, 21),
    "ConvTranspose": _kernel(11),
    "Div": _kernel(14, None, *NUMBERS),
    "Equal": _kernel(13, None, *ALL),
    "Exp": _kernel(13),
    "Expand": _kernel(13, None, *ALL),
    "Flatten": _kernel(13, None, *ALL),
    "Gemm": _kernel(13),
    "GlobalAveragePool": _kernel(1),
    "Greater": _kernel(13, None, *NUMBERS),
    "HardSigmoid": _kernel(6, 21),
    "Identity": _kernel(14, 18, *ALL),
    "Log": _kernel(13),
    "MatMul": _kernel(13),
    "MaxPool": _kernel(12),
    "Min": _kernel(13, None, *NUMBERS),
    "Mul": _kernel(14, None, *NUMBERS),
    "Neg": _kernel(13, None, *NUMBERS),
    "Pad": _kernel(13, 17, "bool", "float"),
    "ReduceMax": _kernel(1, 17, *NUMBERS),
    "ReduceMean": _kernel(1, 17),
    "ReduceSum": _kernel(13, None, *NUMBERS),
    "ReduceSumSquare": _kernel(1, 17),
    "Relu": _kernel(14),
    "Reshape": _kernel(14, 18, *ALL),
    "Scan": _kernel(16, 18, *ALL),
    "Shape": _kernel(15, 18, *ALL),
    "Slice": _kernel(13, None, *ALL),
    "Split": _kernel(13, 17, *ALL),
    "Sqrt": _kernel(13),
    "Sub": _kernel(14, None, *NUMBERS),
    "Sum": _kernel(13),
    "Transpose": _kernel(13, 20, *ALL),
    "Unsqueeze": _kernel(13, 20, *ALL),
    "Where": _kernel(16, None, *NUMBERS),
}

ON_THE_CPU: dict[str, frozenset[int]] = {
    "Expand": frozenset({1}),
    "Pad": frozenset({1, 2}),
    "ReduceSum": frozenset({1}),
    "Reshape": frozenset({1}),
    "Slice": frozenset({1, 2, 3, 4}),
    "Split": frozenset({1}),
    "Unsqueeze": frozenset({1}),
}
"""Positions of inputs that a kernel reads on the CPU, such as shapes. They must be constants."""

CONDITION = {"Where": 0}
"""Position of an input that is always bool, whatever the kernel's types are."""


def problems(model: onnx.ModelProto) -> list[str]:
    """Returns one line for each reason why a call would leave the GPU.

    Args:
        model: has typed inputs; the types of other values are inferred.
    """
    inferred = onnx.shape_inference.infer_shapes(model)
    opset = next(entry.version for entry in inferred.opset_import if entry.domain == "")
    return list(_in_graph(inferred.graph, opset, {}, set()))


def _in_graph(
    graph: onnx.GraphProto, opset: int, outer: dict[str, int], fixed: set[str]
) -> Iterable[str]:
    typed = (*graph.input, *graph.output, *graph.value_info)
    types = outer | {value.name: value.type.tensor_type.elem_type for value in typed}
    types |= {constant.name: constant.data_type for constant in graph.initializer}
    fixed = fixed | {constant.name for constant in graph.initializer}
    for node in graph.node:
        yield from _of_node(node, opset, types, fixed)
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _in_graph(attribute.g, opset, types, fixed)


def _of_node(
    node: onnx.NodeProto, opset: int, types: dict[str, int], fixed: set[str]
) -> Iterable[str]:
    name = f"{node.op_type} ({node.name})"
    kernel = KERNELS.get(node.op_type) if node.domain == "" else None
    if kernel is None:
        yield f"{name}: expected an operator with a CUDA kernel, found none in the table"
        return
    if opset < kernel.since or (kernel.until is not None and opset > kernel.until):
        yield f"{name}: expected a kernel for opset {opset}, found {kernel.since} to {kernel.until}"
    on_the_cpu = ON_THE_CPU.get(node.op_type, frozenset())
    for place, source in enumerate(node.input):
        if not source:
            continue
        if place in on_the_cpu:
            if source not in fixed:
                yield f"{name}: expected a constant for {source}, which the kernel reads on the CPU"
        elif place != CONDITION.get(node.op_type):
            element = types.get(source, TensorProto.UNDEFINED)
            found = TYPES.get(element, TensorProto.DataType.Name(element).lower())
            if found not in kernel.types:
                yield f"{name}: expected {sorted(kernel.types)} for {source}, got {found}"
