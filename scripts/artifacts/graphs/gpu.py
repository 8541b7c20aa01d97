"""The training step for GPUs: the stages of training_graph.py with few nodes and a packed state.

Backbone parameters are one vector, and so are their momentum and the running statistics: the update
is a handful of nodes instead of some hundred. The head, whose size is known only when a run begins,
stays apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import prod

import numpy as np
import onnx_ir as ir

from scripts.artifacts.differentiate import GradientGraph
from scripts.artifacts.graph_builder import GraphBuilder, decimal, fixed, static_shape
from scripts.artifacts.graphs.training import (
    OUTPUT_PREFIX,
    Gradients,
    gradient_stage,
    standard_model,
    step_inputs,
    value,
)
from scripts.artifacts.lowering.gpu.table import GPU_RULES
from scripts.artifacts.network import Network, Shape

BACKBONE = "packed.backbone"
MOMENTUM = "packed.momentum"
STATISTICS = "packed.statistics"
SCALARS = ("momentum", "weight_decay", "nesterov", "max_norm", "batch_size")


PACKED = {"backbone": BACKBONE, "momentum": MOMENTUM, "statistics": STATISTICS}
"""Names of the packed vectors, as the manifest gives them. What they hold follows from its lists:
the backbone's parameters, their momentum, the buffers, each in the manifest's order."""


def packing(network: Network) -> dict[str, list[str]]:
    """What each packed vector holds, in its order: names of the state."""
    backbone = [name for name in network.parameters if name not in network.head]
    return {
        BACKBONE: backbone,
        MOMENTUM: [f"momentum.{name}" for name in backbone],
        STATISTICS: list(network.buffers),
    }


def packed_state(network: Network) -> dict[str, Shape]:
    """Names and shapes of the state as these graphs take it."""
    shapes = network.state()
    packed: dict[str, Shape] = {
        name: [sum(_size(shapes[part]) for part in parts)]
        for name, parts in packing(network).items()
    }
    apart = [name for name in network.parameters if name in network.head]
    return packed | {name: shapes[name] for head in apart for name in (head, f"momentum.{head}")}


def build_gpu_training_graph(
    network: Network,
    graph: GradientGraph,
    dtype: ir.DataType = ir.DataType.FLOAT,
    *,
    loop: bool,
) -> ir.Model:
    """Training steps on a GPU.

    Inputs: images, targets, lr, head_lr, then scalars: momentum, weight_decay, nesterov (0 or 1),
    max_norm (infinity: no clipping) and batch_size (N), then the packed state. Outputs: losses,
    logits, then the new state under ``next.``.

    Args:
        loop: K steps a call in a Scan: images [K, N, 3, S, S], targets [K, N, C], lr [K], head_lr
            [K], losses [K], logits [K, N, C]. Otherwise one step, all of these without K.
    """
    varying = step_inputs(network)
    prefix = "step." if loop else ""
    scalars = {name: value(name, dtype, []) for name in SCALARS}
    shapes = packed_state(network)
    inner = {name: value(prefix + name, dtype, shape) for name, shape in varying.items()}
    state = {name: value(prefix + name, dtype, shape) for name, shape in shapes.items()}
    op = GraphBuilder(dtype, prefix=prefix, large_nodes=True)
    op.batch_size = scalars["batch_size"]
    stage = _gradients(op, network, graph, state, inner, one_split=loop)
    updated = _update(op, network, state, stage, inner | scalars)
    updated[STATISTICS] = _running_statistics(op, network, graph, state[STATISTICS], stage)
    results = {"losses": stage.loss, "logits": stage.logits} | {
        OUTPUT_PREFIX + name: updated[name] for name in shapes
    }
    result_shapes: dict[str, Shape] = {"losses": [], "logits": ["N", "C"]} | {
        OUTPUT_PREFIX + name: shape for name, shape in shapes.items()
    }
    for name, result in results.items():
        result.shape, result.type = ir.Shape(result_shapes[name]), ir.TensorType(dtype)
        result.name = prefix + name
    if not loop:
        inputs = [*inner.values(), *scalars.values(), *state.values()]
        return standard_model(
            "training_step", inputs, list(results.values()), op.nodes, op.constants
        )
    body_outputs = [results[OUTPUT_PREFIX + name] for name in shapes]
    body = ir.Graph(
        inputs=[*state.values(), *inner.values()],
        outputs=[*body_outputs, results["losses"], results["logits"]],
        nodes=op.nodes,
        initializers=op.constants,
        name="training_step",
    )
    outer = {name: value(name, dtype, ["K", *shape]) for name, shape in varying.items()}
    outer_state = {name: value(name, dtype, shape) for name, shape in shapes.items()}
    scan = ir.node(
        "Scan",
        [*outer_state.values(), *outer.values()],
        {"body": body, "num_scan_inputs": len(outer)},
        num_outputs=len(results),
    )
    scan.name = "training_steps"
    *next_state, losses, logits = scan.outputs
    for output, (name, shape) in zip(next_state, shapes.items(), strict=True):
        output.name, output.shape = OUTPUT_PREFIX + name, ir.Shape(shape)
    losses.name, losses.shape = "losses", ir.Shape(["K"])
    logits.name, logits.shape = "logits", ir.Shape(["K", "N", "C"])
    for output in scan.outputs:
        output.type = ir.TensorType(dtype)
    inputs = [*outer.values(), *scalars.values(), *outer_state.values()]
    return standard_model("training", inputs, [losses, logits, *next_state], [scan])


def build_state_graph(network: Network, dtype: ir.DataType = ir.DataType.FLOAT) -> ir.Model:
    """Hands the packed state through, under ``next.``: how it is read back from a GPU's memory."""
    op = GraphBuilder(dtype)
    shapes = packed_state(network)
    state = {name: value(name, dtype, shape) for name, shape in shapes.items()}
    outputs = []
    for name, shape in shapes.items():
        output = op.Identity(state[name])
        output.name = OUTPUT_PREFIX + name
        output.shape, output.type = ir.Shape(shape), ir.TensorType(dtype)
        outputs.append(output)
    return standard_model("state", list(state.values()), outputs, op.nodes)


def _gradients(
    op: GraphBuilder,
    network: Network,
    graph: GradientGraph,
    state: Mapping[str, ir.Value],
    batch: Mapping[str, ir.Value],
    *,
    one_split: bool,
) -> Gradients:
    """The gradient stage on the parts of the packed parameters.

    Args:
        one_split: one node takes them apart. WebGPU's takes as many outputs as a shader has
            buffers (a dozen), so there each part is a Slice.
    """
    op.scope = "unpack"
    parts = {name: state[name] for name in network.head}
    backbone = packing(network)[BACKBONE]
    sizes = [_size(network.parameters[name]) for name in backbone]
    split: Sequence[ir.Value]
    if one_split:
        split = op.split(state[BACKBONE], sizes)
    else:
        ends = list(accumulate(sizes))
        split = [
            op.Slice(state[BACKBONE], op.ints([end - size]), op.ints([end]), op.ints([0]))
            for size, end in zip(sizes, ends, strict=True)
        ]
    for name, part in zip(backbone, split, strict=True):
        shape = [fixed(d if isinstance(d, int) else None) for d in network.parameters[name]]
        parts[name] = part if len(shape) == 1 else op.Reshape(part, op.ints(shape))
    # Running statistics are not read in training mode.
    unread = dict.fromkeys(network.buffers, state[STATISTICS])
    return gradient_stage(
        op, network, graph, parts | unread, batch["images"], batch["targets"], GPU_RULES
    )


def _update(
    op: GraphBuilder,
    network: Network,
    state: Mapping[str, ir.Value],
    stage: Gradients,
    numbers: Mapping[str, ir.Value],
) -> dict[str, ir.Value]:
    """SGD as training_graph.update_stage, with Nesterov and clipping chosen by inputs.

    g <- g min(1, max_norm / (|g| + 1e-6)), |g| over all parameters; g <- g + decay w;
    v <- momentum v + g; w <- w - lr (g + momentum v if nesterov, else v).
    """
    op.scope = "update"
    packed = packing(network)[BACKBONE]
    flat = op.Concat(*(op.Reshape(stage.parameters[n], op.ints([-1])) for n in packed), axis=0)
    gradients = {BACKBONE: flat} | {
        n: stage.parameters[n] for n in network.parameters if n in network.head
    }
    momenta = {name: f"momentum.{name}" for name in gradients} | {BACKBONE: MOMENTUM}
    squares = [op.ReduceSumSquare(gradient, keepdims=0) for gradient in gradients.values()]
    total = squares[0]
    for square in squares[1:]:
        total = op.Add(total, square)
    ratio = op.Div(numbers["max_norm"], op.Add(op.Sqrt(total), op.number(1e-6)))
    factor = op.Min(ratio, op.number(1.0))
    nesterov = op.Greater(numbers["nesterov"], op.number(0.5))
    updated: dict[str, ir.Value] = {}
    for name, gradient in gradients.items():
        weight, velocity = state[name], state[momenta[name]]
        decay = op.Mul(weight, numbers["weight_decay"])
        whole = op.Add(op.Mul(gradient, factor), decay)
        velocity = op.Add(op.Mul(velocity, numbers["momentum"]), whole)
        ahead = op.Add(whole, op.Mul(velocity, numbers["momentum"]))
        direction = op.Where(nesterov, ahead, velocity)
        lr = numbers["head_lr" if name in network.head else "lr"]
        updated[name] = op.Sub(weight, op.Mul(direction, lr))
        updated[momenta[name]] = velocity
    return updated


def _running_statistics(
    op: GraphBuilder,
    network: Network,
    graph: GradientGraph,
    running: ir.Value,
    stage: Gradients,
) -> ir.Value:
    """Updates the running statistics: running' = (1 - k) running + k statistic, k = 1 - momentum.

    Variances take M / (M - 1), M = N H W. Of all layers at once: H W is a vector (0 for means).
    """
    op.scope = "statistics"
    pixels: dict[str, int] = {}
    keeps = set()
    for node in graph.nodes:
        if node.op_type == "BatchNormInternal":
            _, _, height, width = static_shape(node.inputs[0])
            variance = node.inputs[4]
            assert variance is not None and variance.name is not None
            pixels[variance.name] = fixed(height) * fixed(width)
            keeps.add(decimal(node.attributes.get_float("momentum", 0.9)))
    (keep,) = keeps
    sizes = {name: _size(network.buffers[name]) for name in network.buffers}
    is_variance = np.concatenate([np.full(n, name in pixels) for name, n in sizes.items()])
    areas = np.concatenate([np.full(n, pixels.get(name, 2)) for name, n in sizes.items()])
    assert op.batch_size is not None
    count = op.Mul(op.batch_size, op.number(areas.astype(np.float64)))
    correction = op.Div(op.number(is_variance.astype(np.float64)), op.Sub(count, op.number(1.0)))
    fresh = op.Concat(*(stage.buffers[name] for name in network.buffers), axis=0)
    fresh = op.Add(fresh, op.Mul(fresh, correction))
    share = op.number(decimal(1.0 - keep))
    return op.Add(op.Mul(running, op.number(keep)), op.Mul(fresh, share))


def _size(shape: Sequence[int | str]) -> int:
    return prod(fixed(d if isinstance(d, int) else None) for d in shape)
