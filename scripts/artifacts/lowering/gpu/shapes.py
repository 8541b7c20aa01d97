"""Operators that read a shape at run time (here it is a constant), Identity, and Sum."""

from __future__ import annotations

import onnx_ir as ir

from scripts.artifacts.graph_builder import GraphBuilder, static_shape
from scripts.artifacts.lowering.rule import Inputs, Outputs


def add_all(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers Sum(A, B, ...) to additions."""
    total = inputs[0]
    for term in inputs[1:]:
        total = op.Add(total, term)
    return [total]


def identity(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Replaces Identity(X) by X."""
    return [inputs[0]]


def shape(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Drops Shape(X), because the rules of its readers take the sizes of X as constants."""
    return [None]


def expand(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers Expand(A, Shape(X)). The size 1 in place of N keeps the N that A has already."""
    sizes = _sizes(node.inputs[1])
    if sizes is None:
        raise NotImplementedError("expected Expand to read the Shape of a value")
    return [op.Expand(inputs[0], op.ints([1 if size is None else size for size in sizes]))]


def reshape(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Lowers Reshape(A, Shape(X)). The size -1 stands for N."""
    sizes = _sizes(node.inputs[1])
    if sizes is None:
        return op.copy(node, inputs)
    return [op.Reshape(inputs[0], op.ints([-1 if size is None else size for size in sizes]))]


def _sizes(value: ir.Value | None) -> list[int | None] | None:
    """Returns the sizes that ``value`` holds, or None if it is not the output of a Shape node."""
    source = None if value is None else value.producer()
    if source is None or source.op_type != "Shape":
        return None
    return static_shape(source.inputs[0])
