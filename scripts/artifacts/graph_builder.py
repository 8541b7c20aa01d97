"""A small recorder of ONNX nodes, so that a rule reads like the formula it implements."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

OPSET = 17
"""Operator set of the training and inference graphs. 17 is read by every runtime since 1.12."""

IR_VERSION = 8
"""The IR version that belongs to opset 17; onnxruntime-training 1.19.2 refuses newer ones."""

Array = np.ndarray[Any, np.dtype[Any]]

NUMPY_DTYPES = {ir.DataType.FLOAT: np.float32, ir.DataType.DOUBLE: np.float64}


class GraphBuilder:
    """Records nodes and constants in one floating-point type.

    ``op.Mul(a, b)`` appends a Mul node and returns its output; keyword arguments are attributes.
    Equal constants are stored once. Names depend only on the order of calls, so that the same
    calls give the same bytes.

    ``large_nodes`` asks the rules for few, large nodes, as a GPU wants them: convolutions stay one
    operator each.
    """

    def __init__(
        self,
        dtype: ir.DataType = ir.DataType.FLOAT,
        prefix: str = "",
        *,
        large_nodes: bool = False,
    ) -> None:
        self.dtype = dtype
        self.large_nodes = large_nodes
        self.nodes: list[ir.Node] = []
        self.scope = ""
        self._prefix = prefix
        self._constants: dict[tuple[str, tuple[int, ...], bytes], ir.Value] = {}
        self._made: dict[Hashable, ir.Value] = {}
        self.values: dict[ir.Value, ir.Value | None] = {}
        self.batch_size: ir.Value | None = None
        """N as a scalar, where a graph is given it: reading it off a shape is a CPU's work."""

    def lowered(self, value: ir.Value | None) -> ir.Value:
        """The new value that stands for one of the old graph.

        Raises:
            ValueError: the old value was dropped by its rule.
        """
        new = None if value is None else self.values[value]
        if new is None:
            raise ValueError(f"expected a value of the new graph, got none for {value}")
        return new

    def once(self, key: Hashable, make: Callable[[], ir.Value]) -> ir.Value:
        """What ``make`` records, recorded at the first call with ``key`` and shared afterwards."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    @property
    def constants(self) -> list[ir.Value]:
        """The constants so far, in the order of their first use."""
        return list(self._constants.values())

    def __getattr__(self, op_type: str) -> Callable[..., ir.Value]:
        if not op_type[0].isupper():
            raise AttributeError(op_type)

        def make(*inputs: ir.Value | None, **attributes: object) -> ir.Value:
            return self.record(op_type, inputs, attributes)

        return make

    def record(
        self, op_type: str, inputs: Sequence[ir.Value | None], attributes: dict[str, object]
    ) -> ir.Value:
        """Appends a node of one output."""
        number = len(self.nodes)
        node = ir.node(op_type, list(inputs), attributes)  # type: ignore[arg-type]
        node.name = f"{self._prefix}{self.scope}/{op_type}_{number}"
        node.outputs[0].name = f"{self._prefix}{op_type}_{number}"
        self.nodes.append(node)
        return node.outputs[0]

    def split(self, value: ir.Value, sizes: Sequence[int]) -> Sequence[ir.Value]:
        """Parts of a vector, one after the other."""
        number = len(self.nodes)
        node = ir.node("Split", [value, self.ints(sizes)], {"axis": 0}, num_outputs=len(sizes))
        node.name = f"{self._prefix}{self.scope}/Split_{number}"
        for index, output in enumerate(node.outputs):
            output.name = f"{self._prefix}Split_{number}_{index}"
        self.nodes.append(node)
        return node.outputs

    def copy(self, node: ir.Node, inputs: Sequence[ir.Value | None]) -> Sequence[ir.Value]:
        """Appends a copy of ``node`` that reads ``inputs`` instead."""
        duplicate = ir.Node(
            node.domain,
            node.op_type,
            inputs,
            attributes=list(node.attributes.values()),
            num_outputs=len(node.outputs),
        )
        duplicate.name = f"{self._prefix}{node.name or node.outputs[0].name}"
        for output, original in zip(duplicate.outputs, node.outputs, strict=True):
            output.name = f"{self._prefix}{original.name}" if original.name else ""
        self.nodes.append(duplicate)
        return duplicate.outputs

    def array(self, array: Array) -> ir.Value:
        """A constant tensor."""
        key = (str(array.dtype), array.shape, array.tobytes())
        if key not in self._constants:
            name = f"{self._prefix}constant_{len(self._constants)}"
            tensor = ir.tensor(array, name=name)
            self._constants[key] = ir.Value(
                name=name,
                shape=ir.Shape(array.shape),
                type=ir.TensorType(tensor.dtype),
                const_value=tensor,
            )
        return self._constants[key]

    def number(self, value: float | Sequence[float] | Array) -> ir.Value:
        """A constant of the builder's floating-point type, of any rank."""
        return self.array(np.array(value, dtype=NUMPY_DTYPES[self.dtype]))

    def ints(self, values: int | Sequence[int]) -> ir.Value:
        """A constant int64, scalar or vector, as shapes and axes need it."""
        return self.array(np.array(values, dtype=np.int64))

    def cast(self, value: ir.Value) -> ir.Value:
        """Converts to the builder's floating-point type."""
        return self.Cast(value, to=self.dtype.value)


def decimal(value: float) -> float:
    """The short decimal that a float32 attribute stands for: 0.1, not 0.10000000149.

    ONNX attributes are float32, PyTorch computes with the Python number that was written.
    """
    return float(str(np.float32(value)))


def static_shape(value: ir.Value | None) -> list[int | None]:
    """The shape of a value with ``None`` for symbolic dimensions."""
    if value is None or value.shape is None:
        raise ValueError(f"expected a value of known rank, got {value}")
    return [d if isinstance(d, int) else None for d in value.shape]


def fixed(dimension: int | None) -> int:
    """A dimension that a rule needs as a number."""
    if dimension is None:
        raise ValueError("expected a fixed dimension, got a symbolic one; only N and C may vary")
    return dimension
