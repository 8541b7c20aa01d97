"""The training graph: lowered gradient stage, update stage, and K steps of both in one Scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from scripts.gradient_graph import GradientGraph
from scripts.graph_builder import IR_VERSION, NUMPY_DTYPES, OPSET, GraphBuilder
from scripts.lowering import lower
from scripts.network import Network, Shape

OUTPUT_PREFIX = "next."
"""State output of the tensor NAME is called next.NAME."""


def value(name: str, dtype: ir.DataType, shape: Shape) -> ir.Value:
    """A typed value, as a graph input needs it."""
    return ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(dtype))


@dataclass(frozen=True)
class Variant:
    """What a training graph can do beyond SGD with momentum; each costs time, so is opt-in.

    Attributes:
        nesterov: w <- w - lr (g + momentum v) with the new v, as torch.optim.SGD(nesterov=True).
        clip: a scalar input ``max_norm``; all gradients together are scaled to that norm at most,
            as torch.nn.utils.clip_grad_norm_ before the optimizer's step.
    """

    nesterov: bool = False
    clip: bool = False


PLAIN = Variant()


@dataclass(frozen=True)
class Gradients:
    """What the gradient stage computes."""

    loss: ir.Value
    logits: ir.Value
    parameters: dict[str, ir.Value]
    buffers: dict[str, ir.Value]


def gradient_stage(
    op: GraphBuilder,
    network: Network,
    graph: GradientGraph,
    state: Mapping[str, ir.Value],
    images: ir.Value,
    targets: ir.Value,
) -> Gradients:
    """Forward and backward pass over one batch.

    Args:
        state: value of every parameter and buffer.
        images: [N, 3, S, S].
        targets: [N, C], rows weighted and divided by the batch's weight (see lowering/loss.py).
    """
    op.values = {graph.images: images, graph.labels: targets}
    for source in (*graph.model.graph.inputs, *graph.model.graph.initializers.values()):
        name = source.name or ""
        if name in state:
            op.values[source] = state[name]
        elif source.const_value is not None:
            array = source.const_value.numpy()
            floating = array.dtype.kind == "f"
            op.values[source] = op.array(
                array.astype(NUMPY_DTYPES[op.dtype]) if floating else array
            )
    lower(op, graph.nodes)
    buffers: dict[str, ir.Value] = {}
    for node in graph.nodes:
        if node.op_type == "BatchNormInternal":
            for position in (1, 2):
                read, written = node.inputs[position + 2], node.outputs[position]
                assert read is not None and read.name is not None
                buffers[read.name] = op.lowered(written)
    return Gradients(
        loss=op.lowered(graph.loss),
        logits=op.lowered(graph.logits),
        parameters={name: op.lowered(graph.gradients[name]) for name in network.parameters},
        buffers={name: buffers[name] for name in network.buffers},
    )


def clip_stage(
    op: GraphBuilder, gradients: Mapping[str, ir.Value], max_norm: ir.Value
) -> dict[str, ir.Value]:
    """G <- g min(1, max_norm / (|g| + 1e-6)) with |g| over all (torch's clip_grad_norm_)."""
    op.scope = "clip"
    squares = [op.ReduceSumSquare(gradient, keepdims=0) for gradient in gradients.values()]
    norm = op.Sqrt(op.Sum(*squares))
    ratio = op.Div(max_norm, op.Add(norm, op.number(1e-6)))
    factor = op.Min(ratio, op.number(1.0))
    return {name: op.Mul(gradient, factor) for name, gradient in gradients.items()}


def update_stage(
    op: GraphBuilder,
    network: Network,
    state: Mapping[str, ir.Value],
    gradients: Mapping[str, ir.Value],
    rates: Mapping[str, ir.Value],
    variant: Variant = PLAIN,
) -> dict[str, ir.Value]:
    """SGD with momentum as torch.optim.SGD computes it (dampening 0).

    g <- g + decay w;  v <- momentum v + g;  w <- w - lr v. The first step starts from v = 0, which
    equals PyTorch's v <- g. Head tensors take ``head_lr`` for lr.

    Args:
        rates: ``lr``, ``head_lr``, ``momentum`` and ``weight_decay``, scalars.
    """
    updated: dict[str, ir.Value] = {}
    for name in network.parameters:
        op.scope = f"update/{name}"
        weight, velocity = state[name], state[f"momentum.{name}"]
        lr = rates["head_lr" if name in network.head else "lr"]
        gradient = op.Add(gradients[name], op.Mul(weight, rates["weight_decay"]))
        velocity = op.Add(op.Mul(velocity, rates["momentum"]), gradient)
        direction = velocity
        if variant.nesterov:
            direction = op.Add(gradient, op.Mul(velocity, rates["momentum"]))
        updated[name] = op.Sub(weight, op.Mul(direction, lr))
        updated[f"momentum.{name}"] = velocity
    return updated


def build_training_graph(
    network: Network,
    graph: GradientGraph,
    dtype: ir.DataType = ir.DataType.FLOAT,
    variant: Variant = PLAIN,
) -> ir.Model:
    """K training steps a call.

    Inputs: images [K, N, 3, S, S], targets [K, N, C], lr [K], head_lr [K], momentum [],
    weight_decay [] (and max_norm [] with ``variant.clip``), then the state. Outputs: losses [K],
    logits [K, N, C], then the new state under ``next.``. K, N and C are symbolic.
    """
    size = network.input_size
    image_shape: list[int | str] = ["N", 3, size, size]
    target_shape: list[int | str] = ["N", "C"]
    outer = {
        "images": value("images", dtype, ["K", *image_shape]),
        "targets": value("targets", dtype, ["K", *target_shape]),
        "lr": value("lr", dtype, ["K"]),
        "head_lr": value("head_lr", dtype, ["K"]),
        "momentum": value("momentum", dtype, []),
        "weight_decay": value("weight_decay", dtype, []),
    }
    shapes = network.state()
    if variant.clip:
        outer["max_norm"] = value("max_norm", dtype, [])
    outer_state = {name: value(name, dtype, shape) for name, shape in shapes.items()}

    op = GraphBuilder(dtype, prefix="step.")
    inner = {
        "images": value("step.images", dtype, image_shape),
        "targets": value("step.targets", dtype, target_shape),
        "lr": value("step.lr", dtype, []),
        "head_lr": value("step.head_lr", dtype, []),
    }
    state = {name: value(f"step.{name}", dtype, shape) for name, shape in shapes.items()}
    stage = gradient_stage(op, network, graph, state, inner["images"], inner["targets"])
    rates = {
        "lr": inner["lr"],
        "head_lr": inner["head_lr"],
        "momentum": outer["momentum"],
        "weight_decay": outer["weight_decay"],
    }
    gradients = stage.parameters
    if variant.clip:
        gradients = clip_stage(op, gradients, outer["max_norm"])
    updated = update_stage(op, network, state, gradients, rates, variant) | stage.buffers
    results = [updated[name] for name in shapes] + [stage.loss, stage.logits]
    result_shapes: list[Shape] = [*shapes.values(), [], target_shape]
    for result, shape in zip(results, result_shapes, strict=True):
        result.shape, result.type = ir.Shape(shape), ir.TensorType(dtype)
    body = ir.Graph(
        inputs=[*state.values(), *inner.values()],
        outputs=results,
        nodes=op.nodes,
        initializers=op.constants,
        name="training_step",
    )
    scanned = [outer["images"], outer["targets"], outer["lr"], outer["head_lr"]]
    scan = ir.node(
        "Scan",
        [*outer_state.values(), *scanned],
        {"body": body, "num_scan_inputs": len(scanned)},
        num_outputs=len(results),
    )
    scan.name = "training_steps"
    names = [f"{OUTPUT_PREFIX}{name}" for name in shapes] + ["losses", "logits"]
    outer_shapes: list[Shape] = [*shapes.values(), ["K"], ["K", *target_shape]]
    for output, name, shape in zip(scan.outputs, names, outer_shapes, strict=True):
        output.name = name
        output.shape, output.type = ir.Shape(shape), ir.TensorType(dtype)
    *state_outputs, losses, logits = scan.outputs
    return standard_model(
        "training",
        [*outer.values(), *outer_state.values()],
        [losses, logits, *state_outputs],
        [scan],
    )


def standard_model(
    name: str,
    inputs: Sequence[ir.Value],
    outputs: Sequence[ir.Value],
    nodes: Sequence[ir.Node],
    constants: Sequence[ir.Value] = (),
) -> ir.Model:
    """A model of standard operators only."""
    graph = ir.Graph(
        inputs=inputs,
        outputs=outputs,
        nodes=nodes,
        initializers=constants,
        opset_imports={"": OPSET},
        name=name,
    )
    return ir.Model(graph, ir_version=IR_VERSION, producer_name="ort-finetune")
