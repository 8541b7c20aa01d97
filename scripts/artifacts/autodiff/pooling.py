"""Gradients of pools."""

from __future__ import annotations

import math

import onnx_ir as ir

from scripts.artifacts.autodiff.tape import TRAIN, Tape, attributes_of
from scripts.artifacts.graph_builder import fixed, static_shape


def max_pool(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """DX takes dY at the place of each window's largest value: MaxPoolGrad(dY, Indices)."""
    x = node.inputs[0]
    assert x is not None
    read = [gradient, node.outputs[1]]
    tape.add(x, tape.emit("MaxPoolGrad", read, attributes_of(node), like=x))


def average_pool(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """DX takes dY / m from each window of m values: AveragePoolGrad(dY, X)."""
    x = node.inputs[0]
    assert x is not None
    attributes = attributes_of(node)
    tape.add(x, tape.emit("AveragePoolGrad", [gradient, x], attributes, like=x, domain=TRAIN))


def global_average_pool(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """Each of the m values of a map takes dY / m: Mean(dY; count = m)."""
    x = node.inputs[0]
    count = math.prod(fixed(d) for d in static_shape(x)[2:])
    mean = tape.emit("Mean", [gradient], {"count": count}, like=gradient, domain=TRAIN)
    tape.add(x, mean)
