"""The training graph: lowered gradient stage, update stage, and K steps of both in one Scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import onnx_ir as ir

from scripts.artifacts.differentiate import GradientGraph
from scripts.artifacts.graph_builder import IR_VERSION, NUMPY_DTYPES, OPSET, GraphBuilder
from scripts.artifacts.lowering import lower
from scripts.artifacts.lowering.rule import Rule
from scripts.artifacts.network import Network, Shape

OUTPUT_PREFIX = "next."
"""State output of the tensor NAME is called next.NAME."""


def value(name: str, dtype: ir.DataType, shape: Shape) -> ir.Value:
    """A typed value, as a graph input needs it."""
    return ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(dtype))


SCALARS = ("momentum", "weight_decay")
"""What every step of a call has in common."""

EXTRA_SCALARS = ("nesterov", "max_norm")
"""The same, of the extended graphs; they cost passes over the gradients, so ``train`` has none."""


@dataclass(frozen=True)
class Gradients:
    """What the gradient stage computes."""

    loss: ir.Value
    logits: ir.Value
    parameters: dict[str, ir.Value]
    buffers: dict[str, ir.Value]


def bind(
    op: GraphBuilder,
    graph: GradientGraph,
    nodes: Sequence[ir.Node],
    state: Mapping[str, ir.Value],
) -> None:
    """Makes known to ``op`` what ``nodes`` read: the state by its names, constants as they are."""
    read = {source for node in nodes for source in node.inputs}
    op.values = {}
    for source in (*graph.model.graph.inputs, *graph.model.graph.initializers.values()):
        name = source.name or ""
        if source not in read:
            continue
        if name in state:
            op.values[source] = state[name]
        elif source.const_value is not None:
            array = source.const_value.numpy()
            floating = array.dtype.kind == "f"
            op.values[source] = op.array(
                array.astype(NUMPY_DTYPES[op.dtype]) if floating else array
            )


def gradient_stage(
    op: GraphBuilder,
    network: Network,
    graph: GradientGraph,
    state: Mapping[str, ir.Value],
    images: ir.Value,
    targets: ir.Value,
    special: Mapping[tuple[str, str], Rule] = MappingProxyType({}),
) -> Gradients:
    """Forward and backward pass over one batch.

    Args:
        network: what learns; buffers that are not in it stay as they are.
        state: value of every parameter and buffer.
        images: [N, 3, S, S].
        targets: [N, C], rows weighted and divided by the batch's weight (see lowering/loss.py).
    """
    bind(op, graph, graph.nodes, state)
    op.values |= {graph.images: images, graph.labels: targets}
    lower(op, graph.nodes, special)
    buffers: dict[str, ir.Value] = {}
    for node in graph.nodes:
        if node.op_type == "BatchNormInternal":
            for position in (1, 2):
                read, written = node.inputs[position + 2], node.outputs[position]
                assert read is not None and read.name is not None
                if read.name in network.buffers:
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
    """G <- g min(1, max_norm / (|g| + 1e-6)) with |g| over all (torch's clip_grad_norm_).

    An infinite ``max_norm`` gives the factor 1: the same bits as without this stage.
    """
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
) -> dict[str, ir.Value]:
    """SGD with momentum as torch.optim.SGD computes it (dampening 0), for what has a gradient.

    g <- g + decay w;  v <- momentum v + g;  w <- w - lr v. The first step starts from v = 0, which
    equals PyTorch's v <- g. Head tensors take ``head_lr`` for lr. With ``nesterov`` among the rates
    and not 0, w <- w - lr (g + momentum v) with the new v.

    Args:
        rates: ``lr``, ``head_lr``, ``momentum``, ``weight_decay`` and maybe ``nesterov``, scalars.
    """
    op.scope = "update"
    nesterov = op.Greater(rates["nesterov"], op.number(0.0)) if "nesterov" in rates else None
    updated: dict[str, ir.Value] = {}
    for name in gradients:
        op.scope = f"update/{name}"
        weight, velocity = state[name], state[f"momentum.{name}"]
        lr = rates["head_lr" if name in network.head else "lr"]
        gradient = op.Add(gradients[name], op.Mul(weight, rates["weight_decay"]))
        velocity = op.Add(op.Mul(velocity, rates["momentum"]), gradient)
        direction = velocity
        if nesterov is not None:
            ahead = op.Add(gradient, op.Mul(velocity, rates["momentum"]))
            direction = op.Where(nesterov, ahead, velocity)
        updated[name] = op.Sub(weight, op.Mul(direction, lr))
        updated[f"momentum.{name}"] = velocity
    return updated


class StepLoop:
    """K steps as one Scan: the state goes around, each step takes its slice of what is scanned.

    Attributes:
        op: records the nodes of one step.
        state: one step's state, by name.
        scanned: one step's slices, by name.
    """

    def __init__(
        self, dtype: ir.DataType, state: Mapping[str, Shape], scanned: Mapping[str, Shape]
    ) -> None:
        """Takes the shapes of the state and of the slices."""
        self.op = GraphBuilder(dtype, prefix="step.")
        self.state = {name: value(f"step.{name}", dtype, shape) for name, shape in state.items()}
        self.scanned = {
            name: value(f"step.{name}", dtype, shape) for name, shape in scanned.items()
        }

    def close(
        self,
        state: Mapping[str, ir.Value],
        scanned: Mapping[str, ir.Value],
        updated: Mapping[str, ir.Value],
        loss: ir.Value,
        logits: ir.Value,
    ) -> tuple[ir.Node, list[ir.Value]]:
        """The Scan and its outputs: losses [K], logits [K, N, C], the new state under ``next.``.

        Args:
            state: what the first step starts from, a graph input each.
            scanned: with a first dimension K.
            updated: the state after one step.
        """
        dtype = self.op.dtype
        shapes: list[Shape] = [_shape(inner) for inner in self.state.values()]
        results = [updated[name] for name in self.state] + [loss, logits]
        target_shape = ["N", "C"]
        for result, shape in zip(results, [*shapes, [], target_shape], strict=True):
            result.shape, result.type = ir.Shape(shape), ir.TensorType(dtype)
        body = ir.Graph(
            inputs=[*self.state.values(), *self.scanned.values()],
            outputs=results,
            nodes=self.op.nodes,
            initializers=self.op.constants,
            name="training_step",
        )
        scan = ir.node(
            "Scan",
            [state[name] for name in self.state] + [scanned[name] for name in self.scanned],
            {"body": body, "num_scan_inputs": len(self.scanned)},
            num_outputs=len(results),
        )
        scan.name = "training_steps"
        names = [f"{OUTPUT_PREFIX}{name}" for name in self.state] + ["losses", "logits"]
        outer_shapes: list[Shape] = [*shapes, ["K"], ["K", *target_shape]]
        for output, name, shape in zip(scan.outputs, names, outer_shapes, strict=True):
            output.name = name
            output.shape, output.type = ir.Shape(shape), ir.TensorType(dtype)
        *state_outputs, losses, all_logits = scan.outputs
        return scan, [losses, all_logits, *state_outputs]


def _shape(of: ir.Value) -> list[int | str]:
    assert of.shape is not None
    return [d if isinstance(d, int) else str(d.value) for d in of.shape]


def step_inputs(network: Network) -> dict[str, Shape]:
    """What a step takes that is not the same for every step."""
    size = network.input_size
    return {
        "images": ["N", 3, size, size],
        "targets": ["N", "C"],
        "lr": [],
        "head_lr": [],
    }


def build_training_graph(
    network: Network,
    graph: GradientGraph,
    dtype: ir.DataType = ir.DataType.FLOAT,
    extended: bool = False,
) -> ir.Model:
    """K training steps a call.

    Inputs: images [K, N, 3, S, S], targets [K, N, C], lr [K], head_lr [K], momentum [],
    weight_decay [] (``extended``: also nesterov [], 0 or 1, and max_norm [], infinite for no
    clipping), then the state. Outputs: losses [K], logits [K, N, C], then the new state under
    ``next.``. K, N and C are symbolic.
    """
    slices = step_inputs(network)
    scanned = {name: value(name, dtype, ["K", *shape]) for name, shape in slices.items()}
    names = (*SCALARS, *EXTRA_SCALARS) if extended else SCALARS
    scalars = {name: value(name, dtype, []) for name in names}
    state = {name: value(name, dtype, shape) for name, shape in network.state().items()}

    loop = StepLoop(dtype, network.state(), slices)
    step = loop.scanned
    stage = gradient_stage(loop.op, network, graph, loop.state, step["images"], step["targets"])
    gradients = stage.parameters
    if extended:
        gradients = clip_stage(loop.op, gradients, scalars["max_norm"])
    updated = update_stage(loop.op, network, loop.state, gradients, {**step, **scalars})
    scan, outputs = loop.close(state, scanned, updated | stage.buffers, stage.loss, stage.logits)
    inputs = [*scanned.values(), *scalars.values(), *state.values()]
    return standard_model("training", inputs, outputs, [scan])


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
