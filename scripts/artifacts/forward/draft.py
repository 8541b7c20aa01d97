"""A forward graph while the passes rewrite it, and the edits that they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir

Array = np.ndarray[Any, np.dtype[Any]]

TRAIN = "train"
"""Domain of the operators that a pass makes out of several nodes: Swish, Gelu, DropPath."""

LIMIT = 1 << 22
"""Largest number of elements of a constant that a pass computes."""


@dataclass
class Draft:
    """A forward graph.

    Attributes:
        state: names of the tensors that training changes: parameters, running statistics. They
            are initializers, but no constants.
        lost: what the file no longer holds of the network, one sentence each.
    """

    model: ir.Model
    state: set[str]
    lost: list[str] = field(default_factory=list)

    @property
    def graph(self) -> ir.Graph:
        """The graph of the model."""
        return self.model.graph

    def constant(self, value: ir.Value | None) -> Array | None:
        """Returns the array of a constant; None for a value that is computed or learned."""
        if value is None or value.name in self.state or value.const_value is None:
            return None
        return value.const_value.numpy()

    def scalar(self, value: ir.Value | None) -> float | None:
        """Returns the number of a constant of one element, otherwise None."""
        array = self.constant(value)
        return None if array is None or array.size != 1 else float(array.reshape(()))

    def add_constant(self, name: str, array: Array) -> ir.Value:
        """Adds an initializer; its name must be new."""
        tensor = ir.tensor(array, name=name)
        shape, kind = ir.Shape(array.shape), ir.TensorType(tensor.dtype)
        value = ir.Value(name=name, shape=shape, type=kind, const_value=tensor)
        self.graph.register_initializer(value)
        return value

    def insert(
        self,
        before: ir.Node,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, Any] | None = None,
        *,
        name: str,
        like: ir.Value | None = None,
        domain: str = "",
    ) -> ir.Value:
        """Inserts a node with one output before another node; returns the output.

        Args:
            name: name of the node; the output takes it as well.
            like: a value whose shape and type the output has; None if they are inferred later.
        """
        node = ir.node(op_type, list(inputs), dict(attributes or {}), domain=domain, name=name)
        output = node.outputs[0]
        output.name = f"{name}_output"
        if like is not None:
            output.shape, output.type = like.shape, like.type
        self.graph.insert_before(before, node)
        return output

    def replace(self, value: ir.Value, new: ir.Value) -> None:
        """Lets every reader of ``value`` read ``new``; ``new`` takes over its name and shape.

        The node that computed ``value`` is removed if nothing else is read from it.
        """
        node = value.producer()
        if new.producer() is not None and not new.is_graph_output():
            new.shape = value.shape if value.shape is not None else new.shape
            new.type = value.type if value.type is not None else new.type
        ir.convenience.replace_all_uses_with(value, new, replace_graph_outputs=True)
        if node is not None and not any(o.uses() or o.is_graph_output() for o in node.outputs):
            self.graph.remove(node, safe=True)

    def fuse(
        self,
        value: ir.Value,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, Any] | None = None,
        domain: str = TRAIN,
    ) -> None:
        """Computes ``value`` by one new node that takes the name of the old one."""
        node = value.producer()
        assert node is not None and node.name is not None
        new = ir.node(op_type, list(inputs), dict(attributes or {}), domain=domain, name=node.name)
        output = new.outputs[0]
        output.name, output.shape, output.type = value.name, value.shape, value.type
        self.graph.insert_before(node, new)
        ir.convenience.replace_all_uses_with(value, output, replace_graph_outputs=True)
        self.graph.remove(node, safe=True)


def made_by(value: ir.Value | None, op_type: str) -> ir.Node | None:
    """Returns the node that computes ``value`` if it has this type, otherwise None."""
    node = None if value is None else value.producer()
    return node if node is not None and node.domain == "" and node.op_type == op_type else None


def only_reader(value: ir.Value) -> bool:
    """Returns whether exactly one node reads ``value`` and the graph does not return it."""
    return len(value.uses()) == 1 and not value.is_graph_output()


def attributes_of(node: ir.Node) -> dict[str, Any]:
    """Returns the attributes as Python values."""
    return {key: attribute.value for key, attribute in node.attributes.items()}
