"""Two forward graphs: for evaluation (the state as inputs) and for export (BatchNorm folded)."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
import onnx_ir as ir

from scripts.artifacts.graph_builder import GraphBuilder, decimal, standard_model, typed_value
from scripts.artifacts.network import Network

FLOAT = ir.DataType.FLOAT


@dataclass(frozen=True)
class Fold:
    """One convolution of the template and the BatchNorm that is folded into it.

    w' = w gamma / sqrt(var + eps),  b' = beta - mean gamma / sqrt(var + eps)
    """

    weight: str
    bias: str
    batch_norm: str
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
    op.values = _inputs(source, state, images)
    for node in source:
        inputs = [op.lowered(v) for v in node.inputs]
        if node.op_type == "BatchNormalization":
            epsilon = decimal(node.attributes.get_float("epsilon", 1e-5))
            op.values[node.outputs[0]] = op.BatchNormalization(*inputs, epsilon=epsilon)
        else:
            op.values.update(zip(node.outputs, op.copy(node, inputs), strict=True))
    logits = _logits(op, source, dtype)
    return standard_model("evaluation", [images, *state.values()], [logits], op.nodes, op.constants)


def build_inference_template(
    network: Network, forward: onnx.ModelProto
) -> tuple[ir.Model, list[Fold]]:
    """Returns the graph: input [N, 3, S, S], folded weights and biases -> logits [N, C]; its folds.

    Raises:
        NotImplementedError: a BatchNorm does not follow a convolution without bias.
    """
    op = GraphBuilder(FLOAT)
    source = ir.from_proto(forward).graph
    images = typed_value("input", FLOAT, ["N", 3, network.input_size, network.input_size])
    weights = {name: typed_value(name, FLOAT, shape) for name, shape in network.parameters.items()}
    op.values = _inputs(source, weights, images)
    inputs: dict[str, ir.Value] = {}
    folds: list[Fold] = []
    for node in source:
        if node.op_type == "BatchNormalization":
            convolution = node.inputs[0].producer() if node.inputs[0] is not None else None
            if convolution is None or convolution.op_type != "Conv" or len(convolution.inputs) != 2:
                raise NotImplementedError(f"expected BatchNorm after a plain Conv, got {node.name}")
            fold = _fold(node, convolution)
            bias = typed_value(fold.bias, FLOAT, network.parameters[f"{fold.batch_norm}.bias"])
            inputs |= {fold.weight: weights[fold.weight], fold.bias: bias}
            folds.append(fold)
            read = [op.lowered(v) for v in convolution.inputs]
            op.values[node.outputs[0]] = op.copy(convolution, [*read, bias])[0]
        elif node.op_type != "Conv":
            read = [op.lowered(v) for v in node.inputs]
            inputs |= {v.name: v for v in read if v.name in weights}
            op.values.update(zip(node.outputs, op.copy(node, read), strict=True))
    logits = _logits(op, source, FLOAT)
    model = standard_model(
        "inference", [images, *inputs.values()], [logits], op.nodes, op.constants
    )
    return model, folds


def _fold(batch_norm: ir.Node, convolution: ir.Node) -> Fold:
    gamma, weight = batch_norm.inputs[1], convolution.inputs[1]
    assert gamma is not None and gamma.name and weight is not None and weight.name
    return Fold(
        weight=weight.name,
        bias=f"{weight.name.removesuffix('.weight')}.bias",
        batch_norm=gamma.name.removesuffix(".weight"),
        epsilon=decimal(batch_norm.attributes.get_float("epsilon", 1e-5)),
    )


def _inputs(
    source: ir.Graph, state: dict[str, ir.Value], images: ir.Value
) -> dict[ir.Value, ir.Value | None]:
    values: dict[ir.Value, ir.Value | None] = {
        v: state[v.name] for v in source.initializers.values() if v.name in state
    }
    return values | {v: images for v in source.inputs if v.name == "images"}


def _logits(op: GraphBuilder, source: ir.Graph, dtype: ir.DataType) -> ir.Value:
    logits = op.lowered(source.outputs[0])
    logits.name = "logits"
    logits.shape, logits.type = ir.Shape(["N", "C"]), ir.TensorType(dtype)
    return logits
