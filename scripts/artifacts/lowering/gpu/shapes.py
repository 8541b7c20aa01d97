"""Operators that read a shape, which stay on the GPU as constants, and Sum."""

from __future__ import annotations

import onnx_ir as ir

from scripts.artifacts.graph_builder import GraphBuilder, static_shape
from scripts.artifacts.lowering.rule import Inputs, Outputs


def add_all(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Sum(A, B, ...) as additions."""
    total = inputs[0]
    for term in inputs[1:]:
        total = op.Add(total, term)
    return [total]


def identity(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Identity(X): X."""
    return [inputs[0]]


def shape(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Shape(X): nobody reads it; the rules below take the sizes of X as constants."""
    return [None]


def expand(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Expand(A, Shape(X)): A has N already."""
    sizes = _sizes(node.inputs[1])
    if sizes is None:
        raise NotImplementedError("expected Expand to read the Shape of a value")
    return [op.Expand(inputs[0], op.ints([1 if size is None else size for size in sizes]))]


def reshape(op: GraphBuilder, node: ir.Node, inputs: Inputs) -> Outputs:
    """Reshape(A, Shape(X)): N is what the other sizes leave over."""
    sizes = _sizes(node.inputs[1])
    if sizes is None:
        return op.copy(node, inputs)
    return [op.Reshape(inputs[0], op.ints([-1 if size is None else size for size in sizes]))]


def _sizes(value: ir.Value | None) -> list[int | None] | None:
    """What ``value`` holds if it is the shape of another value."""
    source = None if value is None else value.producer()
    if source is None or source.op_type != "Shape":
        return None
    return static_shape(source.inputs[0])
