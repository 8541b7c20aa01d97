"""Two forward graphs: for evaluation (the state as inputs) and for export (BatchNorm folded)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx
import onnx_ir as ir

from scripts.artifacts.errors import NetworkError
from scripts.artifacts.graph_builder import (
    NUMPY_DTYPES,
    GraphBuilder,
    decimal,
    standard_model,
    typed_value,
)
from scripts.artifacts.lowering import RULES
from scripts.artifacts.network import Network

FLOAT = ir.DataType.FLOAT


@dataclass(frozen=True)
class Fold:
    """One convolution of the template and the BatchNorm that is folded into it.

    w' = w gamma / sqrt(var + eps),  b' = beta + (b - mean) gamma / sqrt(var + eps)

    Attributes:
        bias: name of the template's input for b'.
        convolution_bias: name of b; None if the convolution has none.
        batch_norm: names of gamma, beta, mean and var.
    """

    weight: str
    bias: str
    convolution_bias: str | None
    batch_norm: tuple[str, str, str, str]
    epsilon: float


def build_evaluation_graph(
    network: Network, forward: onnx.ModelProto, dtype: ir.DataType = FLOAT
) -> ir.Model:
    """Returns the graph: images [N, 3, S, S], the state without momentum -> logits [N, C]."""
    op = GraphBuilder(dtype)
    source = ir.from_proto(forward).graph
    shapes = {**network.parameters, **network.buffers}
    state = {name: typed_value(name, dtype, shape) for name, shape in shapes.items()}
    images = typed_value("images", dtype, ["N", 3, network.input_size, network.input_size])
    _bind(op, source, state, images)
    for node in source:
        _evaluate(op, node)
    logits = _logits(op, source)
    return standard_model("evaluation", [images, *state.values()], [logits], op.nodes, op.constants)


def build_inference_template(
    network: Network, forward: onnx.ModelProto
) -> tuple[ir.Model, list[Fold]]:
    """Returns the graph: input [N, 3, S, S], weights and biases -> logits [N, C]; and its folds.

    A BatchNorm that does not follow a convolution of its own stays, and its tensors are inputs.
    """
    op = GraphBuilder(FLOAT)
    source = ir.from_proto(forward).graph
    images = typed_value("input", FLOAT, ["N", 3, network.input_size, network.input_size])
    shapes = {**network.parameters, **network.buffers}
    state = {name: typed_value(name, FLOAT, shape) for name, shape in shapes.items()}
    _bind(op, source, state, images)
    inputs: dict[str, ir.Value] = {}
    folds: list[Fold] = []
    folded = {convolution: norm for norm in source if (convolution := _folds_into(norm))}
    for node in source:
        if node in folded:
            fold = _fold(folded[node], node)
            bias = typed_value(fold.bias, FLOAT, shapes[fold.batch_norm[1]])
            inputs |= {fold.weight: state[fold.weight], fold.bias: bias}
            folds.append(fold)
            op.values[folded[node].outputs[0]] = op.copy(
                node, [*(op.lowered(v) for v in node.inputs[:2]), bias]
            )[0]
        elif node not in folded.values():
            read = (v.name or "" for v in node.inputs[: _inputs_read(node)] if v is not None)
            inputs |= {name: state[name] for name in read if name in state}
            _evaluate(op, node)
    model = standard_model(
        "inference", [images, *inputs.values()], [_logits(op, source)], op.nodes, op.constants
    )
    return model, folds


def _folds_into(norm: ir.Node) -> ir.Node | None:
    """Returns the convolution that a BatchNorm can be folded into; None if there is none."""
    x = norm.inputs[0]
    if norm.op_type != "BatchNormalization" or x is None or len(x.uses()) != 1:
        return None
    node = x.producer()
    if node is None or node.op_type != "Conv" or x.is_graph_output():
        return None
    learned = node.inputs[1:]
    alone = all(v is None or (v.producer() is None and len(v.uses()) == 1) for v in learned)
    return node if alone else None


def _fold(norm: ir.Node, convolution: ir.Node) -> Fold:
    weight, *rest = (_name(value) for value in convolution.inputs[1:])
    gamma, beta, mean, variance = (_name(value) for value in norm.inputs[1:5])
    own = rest[0] if rest else None
    return Fold(
        weight=weight,
        bias=own or f"{weight.removesuffix('.weight')}.bias",
        convolution_bias=own,
        batch_norm=(gamma, beta, mean, variance),
        epsilon=decimal(norm.attributes.get_float("epsilon", 1e-5)),
    )


def _name(value: ir.Value | None) -> str:
    assert value is not None and value.name is not None
    return value.name


def _inputs_read(node: ir.Node) -> int:
    """Returns how many inputs a node reads in evaluation mode; Dropout does not read its ratio."""
    return 1 if node.op_type == "Dropout" else len(node.inputs)


def _evaluate(op: GraphBuilder, node: ir.Node) -> None:
    """Records a forward node in evaluation mode.

    BatchNorm uses its running statistics. Dropout and stochastic depth are the identity: their
    rule needs no mask. Other operators of ONNX are copied.

    Raises:
        NetworkError: the node is neither standard ONNX nor one that a rule writes in it.
    """
    inputs = [None if value is None else op.values[value] for value in node.inputs]
    rule = RULES.get((node.domain, node.op_type))
    op.scope = ""
    if node.op_type == "BatchNormalization":
        epsilon = decimal(node.attributes.get_float("epsilon", 1e-5))
        op.values[node.outputs[0]] = op.BatchNormalization(*inputs, epsilon=epsilon)
    elif rule is not None and (node.domain == "train" or node.op_type == "Dropout"):
        op.scope = node.name or node.op_type
        op.values.update(zip(node.outputs, rule(op, node, inputs), strict=True))
    elif node.domain == "":
        op.values.update(zip(node.outputs, op.copy(node, inputs), strict=True))
    else:
        raise NetworkError(
            f"expected an operator of ONNX, got {node.domain}.{node.op_type} ({node.name})"
        )


def _bind(
    op: GraphBuilder, source: ir.Graph, state: Mapping[str, ir.Value], images: ir.Value
) -> None:
    """Maps the graph's inputs, its state and its constants to values of the new graph."""
    op.values = {v: images for v in source.inputs if v.name == "images"}
    for value in source.initializers.values():
        if value.name in state:
            op.values[value] = state[value.name or ""]
        elif value.const_value is not None:
            array = value.const_value.numpy()
            floating = array.dtype.kind == "f"
            op.values[value] = op.array(array.astype(NUMPY_DTYPES[op.dtype]) if floating else array)


def _logits(op: GraphBuilder, source: ir.Graph) -> ir.Value:
    logits = op.lowered(source.outputs[0])
    logits.name = "logits"
    logits.shape, logits.type = ir.Shape(["N", "C"]), ir.TensorType(op.dtype)
    return logits
