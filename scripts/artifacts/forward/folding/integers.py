"""Integers that a graph computes from shapes, with the number of images N as a symbol."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import sympy

from scripts.artifacts.forward.draft import Array, Draft

BATCH = sympy.Symbol("N", integer=True, positive=True)
DIMENSION = re.compile(r"(?:(\d+)\*)?N")


def symbolic_shape(value: ir.Value) -> list[Any] | None:
    """Returns the dimensions as integers and multiples of N; None if one is unknown."""
    if value.shape is None:
        return None
    found: list[Any] = []
    for dim in value.shape:
        multiple = None if isinstance(dim, int) else DIMENSION.fullmatch(dim.value or "")
        if isinstance(dim, int):
            found.append(sympy.Integer(dim))
        elif multiple is None:
            return None
        else:
            found.append(int(multiple[1] or 1) * BATCH)
    return found


def dimension(expression: Any) -> int | str | None:
    """Returns a dimension of ONNX: a number, a multiple of N as text, or None for another one."""
    if expression.is_Integer:
        return int(expression)
    text = str(expression)
    return text if DIMENSION.fullmatch(text) else None


class Integers:
    """The values of a graph that are known integers.

    Vectors are arrays of SymPy expressions. Only operators that exporters use to compute shapes
    are followed; what another one computes is unknown.
    """

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._known: dict[ir.Value, Array] = {}

    def known(self, value: ir.Value) -> Array | None:
        """Returns a vector or scalar of expressions, or None."""
        if value in self._known:
            return self._known[value]
        constant = self._draft.constant(value)
        if constant is None or constant.dtype.kind not in "ib" or constant.size > 16:
            return None
        return np.array([sympy.Integer(int(v)) for v in constant.reshape(-1)], object).reshape(
            constant.shape
        )

    def fixed(self, value: ir.Value) -> Array | None:
        """Returns what ``visit`` found, as an array of int64 or bool, if it holds no N."""
        found = self._known.get(value)
        if found is None or not all(e.is_Integer for e in found.reshape(-1)):
            return None
        kind = np.bool_ if value.dtype == ir.DataType.BOOL else np.int64
        return np.array([int(e) for e in found.reshape(-1)], kind).reshape(found.shape)

    def computes(self, node: ir.Node) -> bool:
        """Returns whether ``visit`` knows what this operator makes of integers."""
        return node.domain == "" and (node.op_type in RULES or node.op_type == "Shape")

    def visit(self, node: ir.Node) -> None:
        """Records what the node computes, if it is known."""
        if not self.computes(node):
            return
        output = node.outputs[0]
        if node.op_type == "Shape":
            dims = None if node.inputs[0] is None else symbolic_shape(node.inputs[0])
            start, end = (
                node.attributes.get_int("start", 0),
                node.attributes.get_int("end", 1 << 30),
            )
            if dims is not None:
                self._known[output] = np.array(dims, object)[start:end]
            return
        if node.op_type == "Cast" and node.attributes.get_int("to", 0) not in INTEGERS:
            return
        inputs = [None if value is None else self.known(value) for value in node.inputs]
        arrays = [array for array in inputs if array is not None]
        if arrays and len(arrays) == len(inputs):
            self._known[output] = RULES[node.op_type](node, arrays)


INTEGERS = (ir.DataType.INT64.value, ir.DataType.INT32.value, ir.DataType.BOOL.value)


def _apply(function: Callable[..., Any]) -> Callable[[ir.Node, Sequence[Array]], Array]:
    """Lifts a function of expressions to arrays, with broadcasting."""
    lifted = np.frompyfunc(function, function.__code__.co_argcount, 1)

    def rule(node: ir.Node, inputs: Sequence[Array]) -> Array:
        return np.asarray(lifted(*inputs), object)

    return rule


def _slice(node: ir.Node, inputs: Sequence[Array]) -> Array:
    data, start, end = inputs[:3]
    step = int(inputs[4].reshape(-1)[0]) if len(inputs) > 4 else 1
    return data[int(start.reshape(-1)[0]) : min(int(end.reshape(-1)[0]), 1 << 30) : step]


def _gather(node: ir.Node, inputs: Sequence[Array]) -> Array:
    return np.asarray(inputs[0][inputs[1].astype(np.int64)], object)


def _unsqueeze(node: ir.Node, inputs: Sequence[Array]) -> Array:
    return inputs[0].reshape(-1)


def _squeeze(node: ir.Node, inputs: Sequence[Array]) -> Array:
    return np.squeeze(inputs[0])


def _concat(node: ir.Node, inputs: Sequence[Array]) -> Array:
    return np.concatenate([array.reshape(-1) for array in inputs])


def _reshape(node: ir.Node, inputs: Sequence[Array]) -> Array:
    return inputs[0].reshape([int(d) for d in inputs[1]])


def _product(node: ir.Node, inputs: Sequence[Array]) -> Array:
    return np.array(sympy.prod(list(inputs[0].reshape(-1))), object)


def _constant_of_shape(node: ir.Node, inputs: Sequence[Array]) -> Array:
    attribute = node.attributes.get("value")
    fill = 0 if attribute is None else int(attribute.as_tensor().numpy().reshape(()))
    return np.full([int(d) for d in inputs[0]], sympy.Integer(fill), object)


RULES: dict[str, Callable[[ir.Node, Sequence[Array]], Array]] = {
    "Gather": _gather,
    "Slice": _slice,
    "Concat": _concat,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Reshape": _reshape,
    "ReduceProd": _product,
    "Cast": _apply(lambda a: a),
    "Identity": _apply(lambda a: a),
    "Add": _apply(lambda a, b: a + b),
    "Sub": _apply(lambda a, b: a - b),
    "Mul": _apply(lambda a, b: a * b),
    "Div": _apply(lambda a, b: sympy.floor(a / b)),
    "Mod": _apply(lambda a, b: a - b * sympy.floor(a / b)),
    "Equal": _apply(lambda a, b: sympy.Integer(int(a == b))),
    "Where": _apply(lambda c, a, b: a if c == 1 else b),
}
