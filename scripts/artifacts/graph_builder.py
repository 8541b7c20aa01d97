"""Records ONNX nodes, so that a lowering rule reads like the formula it implements."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import onnx_ir as ir

OPSET = 17
"""Operator set of the training and inference graphs. Every runtime since 1.12 reads 17."""

IR_VERSION = 8
"""IR version that belongs to opset 17; onnxruntime-training 1.19.2 refuses newer versions."""

Array = np.ndarray[Any, np.dtype[Any]]

NUMPY_DTYPES = {ir.DataType.FLOAT: np.float32, ir.DataType.DOUBLE: np.float64}


class GraphBuilder:
    """Records nodes and constants in one floating-point type.

    ``op.Mul(a, b)`` appends a Mul node and returns its output; keyword arguments are attributes.
    Equal constants are stored once. Names depend only on the order of calls, so that the same
    calls give the same bytes.

    Attributes:
        for_gpu: asks the rules for few, large nodes, because a GPU launches each one on its own.
        scope: first part of the names of the nodes recorded from now on.
        values: for each value of the old graph, the value that replaces it in the new one.
        batch_size: N as a scalar, if it is an input of the graph. Reading N from a shape would
            move data from the GPU to the CPU.
        masks: for the name of each node that draws random numbers, its mask [N, width]. A node
            that is not in it is in evaluation mode: the identity.
    """

    def __init__(
        self,
        dtype: ir.DataType = ir.DataType.FLOAT,
        prefix: str = "",
        *,
        for_gpu: bool = False,
    ) -> None:
        self.dtype = dtype
        self.for_gpu = for_gpu
        self.nodes: list[ir.Node] = []
        self.scope = ""
        self._prefix = prefix
        self._constants: dict[tuple[str, tuple[int, ...], bytes], ir.Value] = {}
        self._memoized: dict[Hashable, ir.Value] = {}
        self.values: dict[ir.Value, ir.Value | None] = {}
        self.batch_size: ir.Value | None = None
        self.masks: Mapping[str, ir.Value] = {}

    def lowered(self, value: ir.Value | None) -> ir.Value:
        """Returns the new value that replaces a value of the old graph.

        Raises:
            ValueError: no rule gave a new value for it.
        """
        new = None if value is None else self.values[value]
        if new is None:
            raise ValueError(f"expected a value of the new graph, got none for {value}")
        return new

    def memoize(self, key: Hashable, make: Callable[[], ir.Value]) -> ir.Value:
        """Calls ``make`` at the first call with ``key``; returns the same value afterwards."""
        if key not in self._memoized:
            self._memoized[key] = make()
        return self._memoized[key]

    @property
    def constants(self) -> list[ir.Value]:
        """The constants recorded so far, in the order of their first use."""
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
        """Appends a node with one output."""
        number = len(self.nodes)
        node = ir.node(op_type, list(inputs), attributes)  # type: ignore[arg-type]
        node.name = f"{self._prefix}{self.scope}/{op_type}_{number}"
        node.outputs[0].name = f"{self._prefix}{op_type}_{number}"
        self.nodes.append(node)
        return node.outputs[0]

    def split(self, value: ir.Value, sizes: Sequence[int]) -> Sequence[ir.Value]:
        """Splits a vector into parts of the given sizes, in order."""
        number = len(self.nodes)
        node = ir.node("Split", [value, self.ints(sizes)], {"axis": 0}, num_outputs=len(sizes))
        node.name = f"{self._prefix}{self.scope}/Split_{number}"
        for index, output in enumerate(node.outputs):
            output.name = f"{self._prefix}Split_{number}_{index}"
        self.nodes.append(node)
        return node.outputs

    def copy(self, node: ir.Node, inputs: Sequence[ir.Value | None]) -> Sequence[ir.Value]:
        """Appends a copy of ``node`` that reads ``inputs``; returns its outputs."""
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
        """Returns a constant tensor."""
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
        """Returns a constant of the builder's floating-point type, of any rank."""
        return self.array(np.array(value, dtype=NUMPY_DTYPES[self.dtype]))

    def ints(self, values: int | Sequence[int]) -> ir.Value:
        """Returns a constant int64 scalar or vector, for shapes and axes."""
        return self.array(np.array(values, dtype=np.int64))

    def beside(self, number: float | ir.Value, tensor: ir.Value | None) -> ir.Value:
        """Returns a number in the shape in which ONNX Runtime broadcasts it fast over ``tensor``.

        Beside a tensor whose last size is 1, such as a 1x1 convolution's weights [O, C, 1, 1], the
        CPU provider takes 10 ns per element for a scalar, and 0.1 ns for a number of equal rank.

        Args:
            number: a constant, or a scalar of the graph.
            tensor: a value whose shape is known; it need not be one of the new graph.
        """
        shape = _shape_beside(tensor)
        if not isinstance(number, ir.Value):
            return self.number(np.full(shape, number))
        if not shape:
            return number
        return self.memoize(
            ("beside", number, len(shape)), lambda: self.Reshape(number, self.ints(shape))
        )

    def total(self, terms: Sequence[ir.Value]) -> ir.Value:
        """Returns the sum of the terms; for GPUs by additions, because WebGPU lacks Sum."""
        return reduce(self.Add, terms) if self.for_gpu else self.Sum(*terms)

    def cast(self, value: ir.Value) -> ir.Value:
        """Converts to the builder's floating-point type."""
        return self.Cast(value, to=self.dtype.value)


def typed_value(name: str, dtype: ir.DataType, shape: Sequence[int | str]) -> ir.Value:
    """Returns a value with a type and a shape, such as a graph input."""
    return ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(dtype))


def standard_model(
    name: str,
    inputs: Sequence[ir.Value],
    outputs: Sequence[ir.Value],
    nodes: Sequence[ir.Node],
    constants: Sequence[ir.Value] = (),
) -> ir.Model:
    """Returns a model that has only standard operators."""
    graph = ir.Graph(
        inputs=inputs,
        outputs=outputs,
        nodes=nodes,
        initializers=constants,
        opset_imports={"": OPSET},
        name=name,
    )
    return ir.Model(graph, ir_version=IR_VERSION, producer_name="ort-finetune")


def decimal(value: float) -> float:
    """Returns the short decimal that a float32 attribute stands for: 0.1, not 0.10000000149.

    ONNX attributes are float32, but PyTorch computes with the Python number in its source.
    """
    return float(str(np.float32(value)))


def constant(value: ir.Value | None) -> Array:
    """Returns the array of a constant of the old graph.

    Raises:
        ValueError: the value is missing or computed.
    """
    if value is None or value.const_value is None:
        raise ValueError(f"expected a constant, got {value}")
    return value.const_value.numpy()


def _shape_beside(tensor: ir.Value | None) -> list[int]:
    if tensor is None or tensor.shape is None or len(tensor.shape) == 0 or tensor.shape[-1] != 1:
        return []
    return [1] * len(tensor.shape)


def static_shape(value: ir.Value | None) -> list[int | None]:
    """Returns the shape of a value, with ``None`` for symbolic dimensions.

    Raises:
        ValueError: the value is missing or its rank is unknown.
    """
    if value is None or value.shape is None:
        raise ValueError(f"expected a value of known rank, got {value}")
    return [d if isinstance(d, int) else None for d in value.shape]


def fixed(dimension: int | None) -> int:
    """Returns a dimension that must be a number.

    Raises:
        ValueError: the dimension is symbolic.
    """
    if dimension is None:
        raise ValueError("expected a fixed dimension, got a symbolic one; only N and C may vary")
    return dimension
