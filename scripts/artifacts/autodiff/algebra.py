"""Gradients of arithmetic, matrix products and sums.

An operator that repeats an operand (broadcasting) passes back the sum over the repetitions.
"""

from __future__ import annotations

import math

import onnx_ir as ir

from scripts.artifacts.autodiff.activation import positive
from scripts.artifacts.autodiff.tape import TRAIN, Tape, constant, symbolic
from scripts.artifacts.graph_builder import fixed, static_shape


def add(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """Y = A + B + … → dA = dB = … = dY."""
    for value in node.inputs:
        if value is not None and tape.needs(value):
            tape.add(value, tape.unbroadcast(gradient, value))


def sub(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """Y = A - B → dA = dY, dB = -dY."""
    a, b = node.inputs
    if a is not None and tape.needs(a):
        tape.add(a, tape.unbroadcast(gradient, a))
    if b is not None and tape.needs(b):
        tape.add(b, tape.unbroadcast(tape.emit("Neg", [gradient], like=gradient), b))


def neg(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """Y = -X → dX = -dY."""
    tape.add(node.inputs[0], tape.emit("Neg", [gradient], like=gradient))


def mul(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """Y = A B → dA = dY B, dB = dY A."""
    a, b = node.inputs
    for value, other in ((a, b), (b, a)):
        if value is not None and tape.needs(value):
            product = tape.emit("Mul", [gradient, other], like=node.outputs[0])
            tape.add(value, tape.unbroadcast(product, value))


def div(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """Y = A / B → dA = dY / B, dB = -dY Y / B."""
    a, b = node.inputs
    y = node.outputs[0]
    quotient = tape.emit("Div", [gradient, b], like=y)
    if a is not None and tape.needs(a):
        tape.add(a, tape.unbroadcast(quotient, a))
    if b is not None and tape.needs(b):
        product = tape.emit("Mul", [quotient, y], like=y)
        tape.add(b, tape.unbroadcast(tape.emit("Neg", [product], like=y), b))


def sqrt(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """Y = sqrt X → dX = dY / (2 Y)."""
    y = node.outputs[0]
    twice = tape.emit("Mul", [y, tape.number(2.0)], like=y)
    tape.add(node.inputs[0], tape.emit("Div", [gradient, twice], like=y))


def power(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """Y = X^c → dX = dY c X^(c - 1); dc = sum of dY Y log X, for an exponent that learns."""
    x, exponent = node.inputs
    y = node.outputs[0]
    given = constant(exponent)
    assert x is not None
    if exponent is not None and tape.needs(exponent):
        log = tape.emit("Mul", [y, tape.emit("Log", [x], like=x)], like=y)
        product = tape.emit("Mul", [gradient, log], like=y)
        tape.add(exponent, tape.unbroadcast(product, exponent))
    if not tape.needs(x):
        return
    if given is not None and given.size == 1 and float(given.reshape(())) == 2:
        slope = tape.emit("Mul", [x, tape.number(2.0)], like=y)
    else:
        less = tape.emit("Sub", [exponent, tape.number(1.0)], like=symbolic_or_scalar(exponent))
        slope = tape.emit("Mul", [exponent, tape.emit("Pow", [x, less], like=y)], like=y)
    tape.add(x, tape.unbroadcast(tape.emit("Mul", [gradient, slope], like=y), x))


def symbolic_or_scalar(value: ir.Value | None) -> list[int | str | None]:
    """Returns the dimensions of a value; none for one whose shape is not known."""
    return [] if value is None or value.shape is None else symbolic(value)


def exp(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """Y = e^X → dX = dY Y."""
    y = node.outputs[0]
    tape.add(node.inputs[0], tape.emit("Mul", [gradient, y], like=y))


def log(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """Y = log X → dX = dY / X."""
    x = node.inputs[0]
    assert x is not None
    tape.add(x, tape.emit("Div", [gradient, x], like=x))


def reciprocal(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """Y = 1 / X → dX = -dY Y^2."""
    y = node.outputs[0]
    square = tape.emit("Mul", [y, y], like=y)
    product = tape.emit("Mul", [gradient, square], like=y)
    tape.add(node.inputs[0], tape.emit("Neg", [product], like=y))


def maximum(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """Y = max(A, B) → dA = dY where A > B, dB = dY elsewhere. Min: where A < B."""
    if len(node.inputs) != 2:
        raise tape.refuse(node, "two inputs", str(len(node.inputs)))
    a, b = node.inputs
    y = node.outputs[0]
    order = [a, b] if node.op_type == "Max" else [b, a]
    first = positive(tape, gradient, tape.emit("Sub", order, like=y), y)
    if a is not None and tape.needs(a):
        tape.add(a, tape.unbroadcast(first, a))
    if b is not None and tape.needs(b):
        tape.add(b, tape.unbroadcast(tape.emit("Sub", [gradient, first], like=y), b))


def gemm(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """Y = A B + C → dA = dY B^T, dB = A^T dY, dC = dY; with B^T in place of B: dB = dY^T A."""
    attributes = node.attributes
    factors = (attributes.get_float("alpha", 1.0), attributes.get_float("beta", 1.0))
    if attributes.get_int("transA", 0) or factors != (1.0, 1.0):
        raise tape.refuse(node, "A B + C", "transA, alpha or beta")
    a, b = node.inputs[:2]
    transposed = attributes.get_int("transB", 0)
    assert a is not None and b is not None
    if tape.needs(a):
        tape.add(a, tape.emit("Gemm", [gradient, b], {"transB": 1 - transposed}, like=a))
    if tape.needs(b):
        pair = [gradient, a] if transposed else [a, gradient]
        tape.add(b, tape.emit("Gemm", pair, {"transA": 1}, like=b))
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is not None and tape.needs(bias):
        tape.add(bias, tape.unbroadcast(gradient, bias))


def matmul(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """Y = A B → dA = dY B^T, dB = A^T dY, for each matrix of a batch.

    A matrix B that all matrices of A are multiplied with takes the sum: one product over all rows.
    """
    a, b = node.inputs
    assert a is not None and b is not None
    if min(len(static_shape(a)), len(static_shape(b))) < 2:
        raise tape.refuse(node, "matrices", "a vector")
    batch = symbolic(gradient)[:-2]
    if tape.needs(a):
        dims = [*batch, *symbolic(a)[-2:]]
        part = tape.emit("MatMul", [gradient, _swapped(tape, b)], like=dims)
        tape.add(a, tape.unbroadcast(part, a))
    if not tape.needs(b):
        return
    if len(static_shape(b)) == 2:
        rows = [_rows(tape, value) for value in (a, gradient)]
        tape.add(b, tape.emit("Gemm", rows, {"transA": 1}, like=b))
    else:
        dims = [*batch, *symbolic(b)[-2:]]
        part = tape.emit("MatMul", [_swapped(tape, a), gradient], like=dims)
        tape.add(b, tape.unbroadcast(part, b))


def _swapped(tape: Tape, value: ir.Value) -> ir.Value:
    rank = len(static_shape(value))
    return tape.transpose(value, [*range(rank - 2), rank - 1, rank - 2])


def _rows(tape: Tape, value: ir.Value) -> ir.Value:
    """Returns all matrices of a batch below each other."""
    rank = len(static_shape(value))
    if rank == 2:
        return value
    return tape.emit("Flatten", [value], {"axis": rank - 1}, like=[None, symbolic(value)[-1]])


def reduce_mean(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """Y = mean of X over axes → each of the m values takes dY / m: Mean(dY; count = m)."""
    x = node.inputs[0]
    assert x is not None
    axes = _axes(tape, node, x)
    count = math.prod(fixed(static_shape(x)[axis]) for axis in axes)
    column = _with_axes(tape, node, gradient, axes)
    tape.add(x, tape.emit("Mean", [column], {"count": count}, like=column, domain=TRAIN))


def reduce_sum(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """Y = sum of X over axes → each value takes dY."""
    x = node.inputs[0]
    assert x is not None
    tape.add(x, _with_axes(tape, node, gradient, _axes(tape, node, x)))


def reduce_l2(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """Y = sqrt(sum X^2) → dX = dY X / Y."""
    x = node.inputs[0]
    assert x is not None
    axes = _axes(tape, node, x)
    column = _with_axes(tape, node, gradient, axes)
    norm = _with_axes(tape, node, node.outputs[0], axes)
    quotient = tape.emit("Div", [column, norm], like=column)
    tape.add(x, tape.emit("Mul", [x, quotient], like=x))


def _axes(tape: Tape, node: ir.Node, x: ir.Value) -> list[int]:
    rank = len(static_shape(x))
    given = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    if len(node.inputs) > 1 and node.inputs[1] is not None and given is None:
        raise tape.refuse(node, "constant axes", "computed ones")
    axes = node.attributes.get_ints("axes", ()) if given is None else given.reshape(-1)
    return sorted(int(axis) % rank for axis in axes) or list(range(rank))


def _with_axes(tape: Tape, node: ir.Node, value: ir.Value, axes: list[int]) -> ir.Value:
    """Returns ``value`` with dimensions of 1 in place of the reduced ones."""
    if node.attributes.get_int("keepdims", 1):
        return value
    x = node.inputs[0]
    assert x is not None
    dims = [1 if k in axes else d for k, d in enumerate(symbolic(x))]
    target = [-1 if not isinstance(d, int) else d for d in dims]
    return tape.emit("Reshape", [value, tape.ints(target)], like=dims)
