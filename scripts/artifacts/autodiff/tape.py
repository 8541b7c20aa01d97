"""The tape of a backward pass: gradient nodes, and what has been added up for every value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from scripts.artifacts.errors import NetworkError
from scripts.artifacts.graph_builder import Array, static_shape

MS = "com.microsoft"
"""Domain of the gradient operators that onnxruntime-training has under the same names."""

TRAIN = "train"
"""Domain of the project's own operators: Swish, SwishGrad and so on."""


class Tape:
    """Records gradient nodes, from the loss backwards.

    Attributes:
        nodes: the gradient nodes, in order.
        constants: constants that the nodes read.
        scope: name of the forward node whose gradient is being recorded.
    """

    def __init__(self, needed: set[ir.Value]) -> None:
        self.nodes: list[ir.Node] = []
        self.constants: list[ir.Value] = []
        self.scope = ""
        self._needed = needed
        self._parts: dict[ir.Value, list[ir.Value]] = {}

    def needs(self, value: ir.Value | None) -> bool:
        """Returns whether a parameter that learns lies behind this value."""
        return value is not None and value in self._needed

    def has_gradient(self, value: ir.Value) -> bool:
        """Returns whether a reader of the value has passed back a gradient."""
        return value in self._parts

    def emit(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, Any] | None = None,
        *,
        like: ir.Value | Sequence[int | str | None],
        domain: str = "",
    ) -> ir.Value:
        """Appends a node with one output.

        Args:
            like: the output's shape, or a value that has it.
        """
        shape = like.shape if isinstance(like, ir.Value) else ir.Shape(like)
        return self.emit_all(op_type, inputs, attributes, shapes=[shape], domain=domain)[0]

    def emit_all(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, Any] | None = None,
        *,
        shapes: Sequence[ir.Shape | None],
        domain: str = MS,
        read: Sequence[bool] | None = None,
    ) -> Sequence[ir.Value]:
        """Appends a node with several outputs.

        Args:
            read: False for an output that no node reads; it gets no name.
        """
        number = len(self.nodes)
        count = len(shapes)
        node = ir.node(
            op_type, list(inputs), dict(attributes or {}), domain=domain, num_outputs=count
        )
        node.name = f"{self.scope}_grad/{op_type}_{number}"
        for k, (output, shape) in enumerate(zip(node.outputs, shapes, strict=True)):
            output.name = f"gradient_{number}_{k}" if read is None or read[k] else ""
            output.shape = shape
        self.nodes.append(node)
        return node.outputs

    def ints(self, values: int | Sequence[int]) -> ir.Value:
        """Returns a constant of int64: axes or a shape."""
        return self._constant(np.array(values, np.int64))

    def number(self, value: float | Array) -> ir.Value:
        """Returns a constant in float64; the builder casts it to its own type."""
        return self._constant(np.array(value, np.float64))

    def _constant(self, array: Array) -> ir.Value:
        name = f"gradient_constant_{len(self.constants)}"
        tensor = ir.tensor(array, name=name)
        shape, kind = ir.Shape(array.shape), ir.TensorType(tensor.dtype)
        value = ir.Value(name=name, shape=shape, type=kind, const_value=tensor)
        self.constants.append(value)
        return value

    def add(self, value: ir.Value | None, gradient: ir.Value) -> None:
        """Adds a part to the gradient of ``value``, if anybody needs it.

        A part may have fewer elements, which broadcast to those of the value.
        """
        if value is not None and self.needs(value):
            self._parts.setdefault(value, []).append(gradient)

    def total(self, value: ir.Value, *, small: bool = False) -> ir.Value | None:
        """Returns the sum of the parts, or None.

        Args:
            small: the caller takes a gradient of fewer elements, which broadcasts.
        """
        parts = self._parts.get(value, [])
        full = [part for part in parts if static_shape(part) == static_shape(value)]
        rest = [part for part in parts if static_shape(part) != static_shape(value)]
        if not parts:
            return None
        if not full and len(rest) == 1 and not small:
            rest, full = [], [self.emit("Expand", [rest[0], self.shape_of(value)], like=value)]
        result = full[0] if len(full) == 1 else None
        if len(full) > 1:
            result = self.emit("Sum", full, like=value)
        for part in rest:
            result = part if result is None else self.emit("Add", [result, part], like=value)
        if result is not None:
            self._parts[value] = [result]
        return result

    def shape_of(self, value: ir.Value) -> ir.Value:
        """Returns the shape of a value when the graph runs."""
        return self.emit("Shape", [value], like=[len(static_shape(value))])

    def reshape(self, gradient: ir.Value, like: ir.Value) -> ir.Value:
        """Gives a gradient the shape of a value, of which one dimension may be symbolic."""
        dims = [-1 if d is None else d for d in static_shape(like)]
        if dims.count(-1) > 1:
            # N is the first dimension of every gradient; 0 copies it.
            dims[0] = 0
        return self.emit("Reshape", [gradient, self.ints(dims)], like=like)

    def unbroadcast(self, gradient: ir.Value, to: ir.Value) -> ir.Value:
        """Sums over the axes along which an operator repeated ``to``.

        y_i = f(x_{i mod n}) → dx_j = sum of dy_i over the i that read x_j.
        """
        have, want = static_shape(gradient), static_shape(to)
        lead = len(have) - len(want)
        axes = [k for k in range(len(have)) if k < lead or (want[k - lead] == 1 and have[k] != 1)]
        if not axes:
            return gradient
        if axes == list(range(lead)):
            return self.reduce_sum(gradient, axes, keepdims=False)
        summed = self.reduce_sum(gradient, axes, keepdims=True)
        return self.reshape(summed, to) if lead else summed

    def reduce_sum(self, value: ir.Value, axes: Sequence[int], *, keepdims: bool) -> ir.Value:
        """Sums over axes."""
        dims = symbolic(value)
        kept = [1 if k in axes else d for k, d in enumerate(dims) if keepdims or k not in axes]
        attributes = {"keepdims": int(keepdims)}
        return self.emit("ReduceSum", [value, self.ints(list(axes))], attributes, like=kept)

    def transpose(self, value: ir.Value, perm: Sequence[int]) -> ir.Value:
        """Permutes the axes."""
        dims = symbolic(value)
        return self.emit("Transpose", [value], {"perm": list(perm)}, like=[dims[k] for k in perm])

    def refuse(self, node: ir.Node, expected: str, found: str) -> NetworkError:
        """Returns the error of a node that has no gradient in this form."""
        return NetworkError(
            f"expected {expected}, got {found} in {node.op_type} ({node.name}); add the case to "
            "scripts/artifacts/autodiff, or write the network without it"
        )


Gradient = Callable[[Tape, ir.Node, ir.Value], None]
"""Records the gradient of a node, given the gradient of its first output."""


def symbolic(value: ir.Value) -> list[int | str | None]:
    """Returns the dimensions: numbers, names of symbolic ones, None for unknown ones."""
    static_shape(value)
    assert value.shape is not None
    return [d if isinstance(d, int) else d.value for d in value.shape]


def attributes_of(node: ir.Node) -> dict[str, Any]:
    """Returns the attributes as Python values."""
    return {key: attribute.value for key, attribute in node.attributes.items()}


def constant(value: ir.Value | None) -> Array | None:
    """Returns the array of a constant or of a parameter, None for what is computed or missing."""
    return None if value is None or value.const_value is None else value.const_value.numpy()
