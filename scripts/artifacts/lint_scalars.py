"""Finds scalars that ONNX Runtime's CPU provider broadcasts slowly.

Beside a tensor whose last size is 1, such as a 1x1 convolution's weights [O, C, 1, 1], a number of
lower rank costs 10 ns per element, and one of equal rank 0.1 ns. ``GraphBuilder.beside`` makes one
of equal rank.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod

import onnx

ELEMENTWISE = frozenset({"Add", "Div", "Equal", "Greater", "Less", "Max", "Min"}) | frozenset(
    {"Mul", "Pow", "Sub", "Where"}
)
"""Operators that broadcast their inputs."""

FEW_ELEMENTS = 10_000
"""Up to this many elements the loss is below 0.1 ms, as on vectors and squeezed maps."""

Shape = tuple[int | None, ...]


def slow_scalars(model: onnx.ModelProto) -> list[str]:
    """Returns one line for each node that broadcasts a number slowly over many elements.

    A size that is not known when the graph is built, such as N, counts as 1.
    """
    inferred = onnx.shape_inference.infer_shapes(model)
    return list(_in_graph(inferred.graph, {}))


def _in_graph(graph: onnx.GraphProto, outer: Mapping[str, Shape]) -> Iterable[str]:
    typed = (*graph.input, *graph.output, *graph.value_info)
    shapes = {**outer, **{value.name: _shape(value) for value in typed}}
    shapes |= {constant.name: tuple(constant.dims) for constant in graph.initializer}
    for node in graph.node:
        if node.op_type in ELEMENTWISE:
            yield from _of_node(node, shapes)
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _in_graph(attribute.g, shapes)


def _of_node(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> Iterable[str]:
    for tensor in node.input:
        shape = shapes.get(tensor, ())
        elements = prod(size or 1 for size in shape)
        if not shape or shape[-1] != 1 or elements <= FEW_ELEMENTS:
            continue
        for number in node.input:
            other = shapes.get(number)
            if other is not None and all(size == 1 for size in other) and len(other) < len(shape):
                yield (
                    f"{node.op_type} ({node.name}): expected a number of rank {len(shape)} beside "
                    f"{tensor} {list(shape)}, got {number} of rank {len(other)}; see "
                    "GraphBuilder.beside"
                )


def _shape(value: onnx.ValueInfoProto) -> Shape:
    return tuple(
        d.dim_value if d.HasField("dim_value") else None for d in value.type.tensor_type.shape.dim
    )
