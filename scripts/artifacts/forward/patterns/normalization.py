"""Normalisations that exporters write out in several nodes, or that have no gradient of their own.

Rule 11: d / sqrt(mean(d^2) + eps) with d = x - mean(x) over the last axes → LayerNormalization(x),
    with the scale and the shift that follow it.
Rule 12: InstanceNormalization(x, scale, shift), which exporters also make of GroupNorm → its
    formula; every operator of it has a gradient.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from scripts.artifacts.forward.draft import Draft, made_by, only_reader
from scripts.artifacts.graph_builder import decimal, static_shape


def fuse_layer_norms(draft: Draft) -> None:
    """Applies rule 11."""
    for node in list(draft.graph):
        found = _standardized(draft, node) if node.op_type == "Div" and node.domain == "" else None
        if found is None:
            continue
        x, axes, epsilon = found
        dims = static_shape(x)
        size = [d for d in dims[axes[0] :] if d is not None]
        if axes != list(range(axes[0], len(dims))) or len(size) != len(axes):
            continue
        output, scale = _followed_by(node.outputs[0], "Mul", size)
        shift = None
        if scale is not None:
            output, shift = _followed_by(output, "Add", size)
        else:
            ones = np.ones(size, np.float32)
            scale = draft.add_constant(f"{node.outputs[0].name}_scale", ones)
        inputs = [x, scale] if shift is None else [x, scale, shift]
        attributes = {"axis": axes[0], "epsilon": epsilon}
        draft.fuse(output, "LayerNormalization", inputs, attributes, "")


def _standardized(draft: Draft, node: ir.Node) -> tuple[ir.Value, list[int], float] | None:
    """Returns x, the axes and epsilon of d / sqrt(mean(d^2) + eps)."""
    centred, root = made_by(node.inputs[0], "Sub"), made_by(node.inputs[1], "Sqrt")
    total = None if root is None else made_by(root.inputs[0], "Add")
    mean = None if centred is None else made_by(centred.inputs[1], "ReduceMean")
    x = None if centred is None else centred.inputs[0]
    if total is None or mean is None or x is None or mean.inputs[0] is not x:
        return None
    for square_mean, other in (total.inputs[:2], total.inputs[1::-1]):
        epsilon, variance = draft.scalar(other), made_by(square_mean, "ReduceMean")
        if epsilon is None or variance is None:
            continue
        axes = mean_axes(draft, mean)
        square = _is_square(draft, variance.inputs[0], node.inputs[0])
        if square and axes is not None and mean_axes(draft, variance) == axes:
            return x, axes, decimal(epsilon)
    return None


def _is_square(draft: Draft, value: ir.Value | None, of: ir.Value | None) -> bool:
    power, product = made_by(value, "Pow"), made_by(value, "Mul")
    if power is not None:
        return _same(power.inputs[0], of) and draft.scalar(power.inputs[1]) == 2
    return product is not None and all(_same(factor, of) for factor in product.inputs)


def _same(value: ir.Value | None, other: ir.Value | None) -> bool:
    """Returns whether both are one value, or the same difference of two values."""
    if value is other:
        return True
    first, second = made_by(value, "Sub"), made_by(other, "Sub")
    return first is not None and second is not None and list(first.inputs) == list(second.inputs)


def mean_axes(draft: Draft, node: ir.Node) -> list[int] | None:
    """Returns the axes of a ReduceMean that keeps its dimensions, counted from the front."""
    x = node.inputs[0]
    if x is None or x.shape is None or not node.attributes.get_int("keepdims", 1):
        return None
    given = draft.constant(node.inputs[1]) if len(node.inputs) > 1 else None
    axes = node.attributes.get_ints("axes", ()) if given is None else given.reshape(-1)
    return sorted(int(axis) % len(x.shape) for axis in axes) or None


def _followed_by(
    value: ir.Value, op_type: str, size: Sequence[int]
) -> tuple[ir.Value, ir.Value | None]:
    """Returns the result and the vector, if the only reader is ``op_type`` with a vector."""
    if only_reader(value):
        (use,) = value.uses()
        reader = use.node
        if reader.op_type == op_type and reader.domain == "":
            other = reader.inputs[1] if reader.inputs[0] is value else reader.inputs[0]
            if other is not None and other.is_initializer() and list(other.shape or []) == size:
                return reader.outputs[0], other
    return value, None


def write_out_instance_norms(draft: Draft) -> None:
    """Applies rule 12: mean and variance over all axes behind the channels."""
    for node in list(draft.graph):
        if node.op_type == "InstanceNormalization" and node.domain == "":
            draft.replace(node.outputs[0], _instance_norm(draft, node))


def _instance_norm(draft: Draft, node: ir.Node) -> ir.Value:
    x, scale, shift = node.inputs[:3]
    name, axes = node.name or "", list(range(2, len(static_shape(x))))
    number = np.array(node.attributes.get_float("epsilon", 1e-5), np.float32)
    epsilon = draft.add_constant(f"{name}_epsilon", number)

    def add(part: str, op_type: str, *inputs: ir.Value | None, **attributes: object) -> ir.Value:
        return draft.insert(node, op_type, inputs, attributes, name=f"{name}/{part}")

    mean = add("mean", "ReduceMean", x, axes=axes, keepdims=1)
    centred = add("centred", "Sub", x, mean)
    square = add("square", "Mul", centred, centred)
    variance = add("variance", "ReduceMean", square, axes=axes, keepdims=1)
    deviation = add("deviation", "Sqrt", add("total", "Add", variance, epsilon))
    result = add("quotient", "Div", centred, deviation)
    for part, op_type, vector, neutral in (("scale", "Mul", scale, 1), ("shift", "Add", shift, 0)):
        array = draft.constant(vector)
        if array is None or (array != neutral).any():
            dims = np.array([-1, *[1] * len(axes)], np.int64)
            shape = draft.add_constant(f"{name}_{part}_shape", dims)
            column = add(f"{part}/Reshape", "Reshape", vector, shape)
            result = add(part, op_type, result, column)
    return result
