"""Adds the loss and the gradients to a forward graph, by reverse mode."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir

from scripts.artifacts.autodiff.tape import MS, Gradient, Tape, attributes_of
from scripts.artifacts.differentiate import GradientGraph
from scripts.artifacts.errors import NetworkError
from scripts.artifacts.network import Network


def reverse_mode(
    forward: onnx.ModelProto,
    network: Network,
    parameters: Sequence[str],
    table: dict[str, Gradient],
    small: frozenset[str],
) -> GradientGraph:
    """Adds cross entropy and the gradients of ``parameters``; see ``autodiff.differentiate``.

    The nodes are visited backwards. A value's gradient is the sum of what its readers passed back,
    which is complete when its producer is visited.

    Args:
        table: the gradient of each operator.
        small: operators that take a gradient of fewer elements, which broadcasts.
    """
    model = ir.from_proto(forward)
    graph = model.graph
    for name, shape in network.parameters.items():
        graph.initializers[name].shape = ir.Shape(shape)
    _training_forms(graph)
    by_name = {value.name: value for value in (*graph.inputs, *graph.initializers.values())}
    nodes = list(graph)
    tape = Tape(_needed({by_name[name] for name in parameters}, nodes))
    labels = ir.Value(name="labels", shape=ir.Shape(["N"]), type=ir.TensorType(ir.DataType.INT64))
    logits = graph.outputs[0]
    loss = _loss(tape, logits, labels)
    for node in reversed(nodes):
        _visit(tape, node, table, small)
    gradients: dict[str, ir.Value] = {}
    for name in parameters:
        total = tape.total(by_name[name])
        if total is None:
            raise NetworkError(
                f"expected the logits to depend on every parameter, got none on {name}; "
                "build the network without it"
            )
        gradients[name] = total
    for constant in tape.constants:
        graph.register_initializer(constant)
    graph.inputs.append(labels)
    return GradientGraph(
        model=model,
        images=by_name["images"],
        labels=labels,
        loss=loss.outputs[0],
        logits=logits,
        gradients=gradients,
        nodes=[*nodes, loss, *tape.nodes],
    )


def _needed(parameters: set[ir.Value], nodes: Sequence[ir.Node]) -> set[ir.Value]:
    """Returns the values that depend on the parameters."""
    needed = set(parameters)
    for node in nodes:
        if not needed.isdisjoint(node.inputs):
            needed |= set(node.outputs)
    return needed


def _loss(tape: Tape, logits: ir.Value, labels: ir.Value) -> ir.Node:
    """Returns the loss's node; records dlogits = softmax(logits) - targets, with dloss = 1."""
    loss = ir.node(
        "SoftmaxCrossEntropyLoss", [logits, labels], {"reduction": "mean"}, num_outputs=2
    )
    loss.name = tape.scope = "loss"
    loss.outputs[0].name, loss.outputs[1].name = "loss", "log_probabilities"
    one = tape.number(np.array(1.0))
    read = [one, loss.outputs[1], labels]
    tape.add(logits, tape.emit("SoftmaxCrossEntropyLossGrad", read, like=logits, domain=MS))
    return loss


def _visit(tape: Tape, node: ir.Node, table: dict[str, Gradient], small: frozenset[str]) -> None:
    """Records the gradient of one node, if the loss depends on it and it on a parameter."""
    reached = any(tape.has_gradient(output) for output in node.outputs)
    if not reached or not any(tape.needs(value) for value in node.inputs):
        return
    rule = table.get(node.op_type)
    name = node.name or node.op_type
    if rule is None:
        raise NetworkError(
            f"expected an operator with a gradient, got {node.domain or 'ai.onnx'}.{node.op_type} "
            f"({name}); add its gradient to scripts/artifacts/autodiff"
        )
    tape.scope = name
    first = next(output for output in node.outputs if tape.has_gradient(output))
    gradient = tape.total(first, small=node.op_type in small)
    assert gradient is not None
    rule(tape, node, gradient)


def _training_forms(graph: ir.Graph) -> None:
    """Replaces operators by those that training reads more of.

    BatchNormalization → BatchNormInternal, which returns the batch's mean and 1 / std as well;
    MaxPool → MaxPool with the places of the largest values.
    """
    for node in list(graph):
        name = node.name or ""
        first = node.outputs[0]
        if node.op_type == "BatchNormalization":
            suffixes, op_type, domain = (
                ["mean", "var", "batch_mean", "inv_std"],
                "BatchNormInternal",
                MS,
            )
        elif node.op_type == "MaxPool" and len(node.outputs) == 1:
            suffixes, op_type, domain = ["indices"], "MaxPool", ""
        else:
            continue
        new = ir.node(
            op_type,
            list(node.inputs),
            attributes_of(node),
            domain=domain,
            num_outputs=1 + len(suffixes),
            name=name,
        )
        for output, suffix in zip(new.outputs[1:], suffixes, strict=True):
            output.name = f"{name}_{suffix}"
        new.outputs[0].name = first.name
        new.outputs[0].shape, new.outputs[0].type = first.shape, first.type
        ir.convenience.replace_nodes_and_values(
            graph, node, [node], [new], [first], [new.outputs[0]]
        )
