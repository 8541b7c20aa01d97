"""Gradients of operators that move values or repeat them: each one is the transposed map."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from scripts.artifacts.autodiff.tape import TRAIN, Tape, attributes_of, constant, symbolic
from scripts.artifacts.graph_builder import IR_VERSION, OPSET, Array, fixed, static_shape


def identity(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """Y = X → dX = dY."""
    tape.add(node.inputs[0], gradient)


def reshape(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """Gives dY the shape of X: Flatten, Reshape, Squeeze, Unsqueeze."""
    x = node.inputs[0]
    assert x is not None
    tape.add(x, tape.reshape(gradient, x))


def transpose(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """Permutes dY by the inverse permutation."""
    rank = len(static_shape(node.inputs[0]))
    perm = list(node.attributes.get_ints("perm", tuple(reversed(range(rank)))))
    tape.add(node.inputs[0], tape.transpose(gradient, [perm.index(k) for k in range(rank)]))


def concat(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """Cuts dY into the gradients of the parts."""
    axis = node.attributes.get_int("axis") % len(static_shape(gradient))
    start = 0
    for value in node.inputs:
        size = fixed(static_shape(value)[axis])
        if value is not None and tape.needs(value):
            tape.add(value, _cut(tape, gradient, {axis: (start, size)}))
        start += size


def split(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """Joins the gradients of the parts, zeros for a part that no node reads."""
    parts = [tape.total(output) for output in node.outputs]
    full = [
        zeros(tape, output) if part is None else part
        for part, output in zip(parts, node.outputs, strict=True)
    ]
    x = node.inputs[0]
    assert x is not None
    tape.add(x, tape.emit("Concat", full, {"axis": node.attributes.get_int("axis", 0)}, like=x))


def zeros(tape: Tape, like: ir.Value) -> ir.Value:
    """Records zeros of the shape of a value."""
    return tape.emit("Expand", [tape.number(0.0), tape.shape_of(like)], like=like)


def slice_(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """Puts dY back where it was cut out, zeros elsewhere; a step leaves zeros between."""
    x = node.inputs[0]
    arrays = [constant(value) for value in node.inputs[1:]]
    if x is None or any(array is None for array in arrays):
        raise tape.refuse(node, "constant bounds", "computed ones")
    numbers = [[int(v) for v in array] for array in arrays if array is not None]
    starts = numbers[0]
    axes = numbers[2] if len(numbers) > 2 else list(range(len(starts)))
    steps = numbers[3] if len(numbers) > 3 else [1] * len(starts)
    for start, axis, step in zip(starts, axes, steps, strict=True):
        place = axis % len(static_shape(x))
        size, count = static_shape(x)[place], static_shape(gradient)[place]
        if size is None or count is None:
            if start == 0 and step == 1:
                continue
            raise tape.refuse(node, "all images", "a part of them")
        first = min(max(start + size if start < 0 else start, 0), size - 1)
        if step < 0:
            gradient = _reversed(tape, gradient, place)
            first, step = first + step * (count - 1), -step
        gradient = _put_back(tape, gradient, place, first, step, size)
    tape.add(x, gradient)


def _reversed(tape: Tape, value: ir.Value, axis: int) -> ir.Value:
    inputs = [tape.ints([v]) for v in (-1, np.iinfo(np.int64).min, axis, -1)]
    return tape.emit("Slice", [value, *inputs], like=value)


def _put_back(
    tape: Tape, gradient: ir.Value, axis: int, start: int, step: int, size: int
) -> ir.Value:
    """Spreads an axis to ``size``: value i goes to place start + step i."""
    dims = symbolic(gradient)
    count = fixed(static_shape(gradient)[axis])
    if step > 1:
        column = [*dims[: axis + 1], 1, *dims[axis + 1 :]]
        spread = _reshape_to(tape, gradient, column)
        spread = pad(tape, spread, axis + 1, 0, step - 1)
        dims = [*dims[:axis], count * step, *dims[axis + 1 :]]
        gradient, count = _reshape_to(tape, spread, dims), count * step
    return pad(tape, gradient, axis, start, size - start - count)


def _reshape_to(tape: Tape, value: ir.Value, dims: list[int | str | None]) -> ir.Value:
    target = [d if isinstance(d, int) else -1 for d in dims]
    return tape.emit("Reshape", [value, tape.ints(target)], like=dims)


def pad(tape: Tape, value: ir.Value, axis: int, before: int, after: int) -> ir.Value:
    """Adds zeros along one axis; negative numbers cut."""
    if before == 0 and after == 0:
        return value
    dims = symbolic(value)
    pads = [0] * (2 * len(dims))
    pads[axis], pads[len(dims) + axis] = before, after
    dims[axis] = fixed(static_shape(value)[axis]) + before + after
    return tape.emit("Pad", [value, tape.ints(pads)], like=dims)


def _cut(tape: Tape, value: ir.Value, parts: dict[int, tuple[int, int]]) -> ir.Value:
    """Returns a part: axis -> first place and size."""
    dims = symbolic(value)
    for axis, (_, size) in parts.items():
        dims[axis] = size
    starts = [start for start, _ in parts.values()]
    ends = [start + size for start, size in parts.values()]
    bounds = [tape.ints(numbers) for numbers in (starts, ends, list(parts))]
    return tape.emit("Slice", [value, *bounds], like=dims)


def pad_grad(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """Cuts off what the padding added; zeros in place of what a negative pad cut."""
    x, pads = node.inputs[0], constant(node.inputs[1])
    mode = node.attributes.get_string("mode", "constant")
    if x is None or pads is None or mode != "constant" or len(node.inputs) > 3:
        raise tape.refuse(node, "constant padding along all axes", f"mode {mode}")
    rank = len(static_shape(x))
    parts = {}
    for axis in range(rank):
        before, after = int(pads[axis]), int(pads[rank + axis])
        if before < 0 or after < 0:
            gradient = pad(tape, gradient, axis, max(-before, 0), max(-after, 0))
        if before > 0 or after > 0:
            parts[axis] = (max(before, 0), fixed(static_shape(x)[axis]))
    tape.add(x, _cut(tape, gradient, parts) if parts else gradient)


def gather(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """Y_i = X[index_i] → dX[j] = sum of dY_i over the i with index_i = j.

    One index: a Pad. A table of parameters: TableGrad(dY; index, size, width). Otherwise a product
    with a constant matrix of 0 and 1 along the axis.
    """
    x, given = node.inputs[0], constant(node.inputs[1])
    if x is None or given is None:
        raise tape.refuse(node, "a constant index", "a computed one")
    axis = node.attributes.get_int("axis", 0) % len(static_shape(x))
    size = fixed(static_shape(x)[axis])
    index = [int(i) % size for i in given.reshape(-1)]
    if len(index) == 1:
        dims: list[int | str | None] = list(symbolic(x))
        dims[axis] = 1
        single = gradient if given.ndim == 1 else _reshape_to(tape, gradient, dims)
        tape.add(x, _put_back(tape, single, axis, index[0], 1, size))
    elif axis == 0 and x.producer() is None:
        width = math.prod(fixed(d) for d in static_shape(x)[1:])
        attributes = {"index": index, "size": size, "width": width}
        tape.add(x, tape.emit("TableGrad", [gradient], attributes, like=x, domain=TRAIN))
    elif given.ndim == 1:
        matrix = np.zeros((len(index), size))
        matrix[np.arange(len(index)), index] = 1
        tape.add(x, _along(tape, gradient, axis, matrix))
    else:
        raise tape.refuse(node, "an index of one dimension", f"one of {given.ndim}")


def _along(tape: Tape, value: ir.Value, axis: int, matrix: Array) -> ir.Value:
    """Multiplies the vectors along an axis by a constant matrix, from the right."""
    rank = len(static_shape(value))
    perm = [k for k in range(rank) if k != axis] + [axis]
    last = tape.transpose(value, perm)
    dims = [*symbolic(last)[:-1], matrix.shape[1]]
    product = tape.emit("MatMul", [last, tape.number(matrix)], like=dims)
    return tape.transpose(product, [perm.index(k) for k in range(rank)])


def expand(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """Sums over the axes along which X was repeated."""
    x = node.inputs[0]
    assert x is not None
    tape.add(x, tape.unbroadcast(gradient, x))


def resize(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """Y = R X Q with constant matrices, nearest or linear → dX = R^T dY Q^T."""
    x, mode = node.inputs[0], node.attributes.get_string("mode", "nearest")
    assert x is not None
    if mode not in ("nearest", "linear") or node.attributes.get_int("antialias", False):
        raise tape.refuse(node, "nearest or linear interpolation", mode)
    result = gradient
    for axis in (2, 3):
        size, target = (fixed(static_shape(v)[axis]) for v in (x, node.outputs[0]))
        if size != target:
            result = _along(tape, result, axis, _interpolation(node, size, target))
    tape.add(x, result)


def _interpolation(node: ir.Node, size: int, target: int) -> Array:
    """Returns the matrix [target, size] of a Resize along one axis: it resizes unit vectors."""
    attributes = attributes_of(node)
    names = [onnx.helper.make_tensor_value_info("X", onnx.TensorProto.DOUBLE, [1, size, size, 1])]
    sizes = onnx.numpy_helper.from_array(np.array([1, size, target, 1], np.int64), "sizes")
    resized = onnx.helper.make_node("Resize", ["X", "", "", "sizes"], ["Y"], **attributes)
    output = onnx.helper.make_tensor_value_info("Y", onnx.TensorProto.DOUBLE, None)
    graph = onnx.helper.make_graph([resized], "resize", names, [output], [sizes])
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    resized_units: Any = ReferenceEvaluator(model).run(
        None, {"X": np.eye(size).reshape(1, size, size, 1)}
    )
    return np.asarray(resized_units[0])[0, :, :, 0].T
