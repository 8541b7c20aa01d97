"""The training step for GPUs, with few nodes and a packed state.

The backbone's parameters are one vector, and so are their momentum and the running statistics. The
update is then a handful of nodes instead of some hundred. The head stays apart, because its size is
known only when a run begins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import prod

import numpy as np
import onnx_ir as ir

from scripts.artifacts.differentiate import GradientGraph
from scripts.artifacts.gradient_stage import Gradients, gradient_stage
from scripts.artifacts.graph_builder import (
    GraphBuilder,
    decimal,
    fixed,
    standard_model,
    static_shape,
    typed_value,
)
from scripts.artifacts.lowering.gpu.table import GPU_RULES
from scripts.artifacts.network import OUTPUT_PREFIX, Network, Shape
from scripts.artifacts.optimizer import EXTRA_SCALARS, SCALARS, Sgd, clip_factor
from scripts.artifacts.step_scan import PREFIX, StepScan, step_inputs

BACKBONE = "packed.backbone"
MOMENTUM = "packed.momentum"
STATISTICS = "packed.statistics"

PACKED = {"backbone": BACKBONE, "momentum": MOMENTUM, "statistics": STATISTICS}
"""Names of the packed vectors in the manifest: the backbone's parameters, their momentum and the
buffers. Each vector follows the order of the manifest's list."""

GPU_SCALARS = (*SCALARS, *EXTRA_SCALARS, "batch_size")
"""Scalar inputs of these graphs."""


def packing(network: Network) -> dict[str, list[str]]:
    """Returns the names of the tensors that each packed vector holds, in its order."""
    backbone = [name for name in network.parameters if name not in network.head]
    return {
        BACKBONE: backbone,
        MOMENTUM: [f"momentum.{name}" for name in backbone],
        STATISTICS: list(network.buffers),
    }


def packed_state(network: Network) -> dict[str, Shape]:
    """Returns names and shapes of the state that these graphs read and write."""
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
    """Returns the graph of training steps on a GPU.

    Inputs: images, targets, lr, head_lr, masks if the network has any, then scalars: momentum,
    weight_decay, nesterov (0 or 1), max_norm (infinity: no clipping) and batch_size (N), then the
    packed state. Outputs: losses, logits, then the new state under ``next.``.

    Args:
        loop: True for K steps per call in a Scan: images [K, N, 3, S, S], targets [K, N, C], lr
            [K], head_lr [K], losses [K], logits [K, N, C]. False for one step without the K.
    """
    slices = step_inputs(network)
    scalars = {name: typed_value(name, dtype, []) for name in GPU_SCALARS}
    shapes = packed_state(network)
    dimensions = ["K"] if loop else []
    batch = {name: typed_value(name, dtype, [*dimensions, *s]) for name, s in slices.items()}
    state = {name: typed_value(name, dtype, shape) for name, shape in shapes.items()}
    inputs = [*batch.values(), *scalars.values(), *state.values()]
    op = GraphBuilder(dtype, PREFIX if loop else "", for_gpu=True)
    op.batch_size = scalars["batch_size"]
    if not loop:
        results = _step(op, network, graph, state, batch | scalars, one_split=False)
        outputs = _named(op, results, shapes)
        return standard_model("training_step", inputs, outputs, op.nodes, op.constants)
    steps = StepScan(op, shapes, slices)
    results = _step(op, network, graph, steps.state, steps.scanned | scalars, one_split=True)
    loss, logits, *_ = _named(op, results, shapes, PREFIX)
    scan, outputs = steps.build(state | batch, results, loss, logits)
    return standard_model("training", inputs, outputs, [scan])


def build_state_graph(network: Network, dtype: ir.DataType = ir.DataType.FLOAT) -> ir.Model:
    """Returns a graph that copies the packed state to outputs under ``next.``.

    With it the state is read back from a GPU's memory.
    """
    op = GraphBuilder(dtype)
    shapes = packed_state(network)
    state = {name: typed_value(name, dtype, shape) for name, shape in shapes.items()}
    outputs = []
    for name, shape in shapes.items():
        output = op.Identity(state[name])
        output.name = OUTPUT_PREFIX + name
        output.shape, output.type = ir.Shape(shape), ir.TensorType(dtype)
        outputs.append(output)
    return standard_model("state", list(state.values()), outputs, op.nodes)


def _step(
    op: GraphBuilder,
    network: Network,
    graph: GradientGraph,
    state: Mapping[str, ir.Value],
    rest: Mapping[str, ir.Value],
    *,
    one_split: bool,
) -> dict[str, ir.Value]:
    """Records one training step; returns ``losses``, ``logits`` and the new state, by name.

    Args:
        rest: the step's inputs that are not state, by name.
        one_split: as in ``_unpacked``.
    """
    values = {**_unpacked(op, network, state, one_split=one_split), **rest}
    stage = gradient_stage(op, network, graph, values, GPU_RULES)
    updated = _update(op, network, state, stage, rest)
    updated[STATISTICS] = _running_statistics(op, network, graph, state[STATISTICS], stage)
    return {"losses": stage.loss, "logits": stage.logits, **updated}


def _named(
    op: GraphBuilder, results: Mapping[str, ir.Value], shapes: Mapping[str, Shape], prefix: str = ""
) -> list[ir.Value]:
    """Gives a step's results their names and shapes: the loss, the logits, the new state."""
    names = {"losses": "losses", "logits": "logits"} | {n: OUTPUT_PREFIX + n for n in shapes}
    all_shapes: dict[str, Shape] = {"losses": [], "logits": ["N", "C"], **shapes}
    for name, output_name in names.items():
        result = results[name]
        result.name = prefix + output_name
        result.shape, result.type = ir.Shape(all_shapes[name]), ir.TensorType(op.dtype)
    return [results[name] for name in names]


def _unpacked(
    op: GraphBuilder, network: Network, state: Mapping[str, ir.Value], *, one_split: bool
) -> dict[str, ir.Value]:
    """Returns every parameter and buffer by name, cut out of the packed vectors.

    Args:
        one_split: cut with one Split node. On WebGPU a node has at most a dozen outputs, the
            number of buffers that a shader can bind, so there each part is a Slice.
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
    # In training mode BatchNorm does not read its running statistics, so any value will do.
    unread = dict.fromkeys(network.buffers, state[STATISTICS])
    return parts | unread


def _update(
    op: GraphBuilder,
    network: Network,
    state: Mapping[str, ir.Value],
    stage: Gradients,
    rates: Mapping[str, ir.Value],
) -> dict[str, ir.Value]:
    """Returns the new parameters and momentum: clipping and SGD on the packed backbone and head.

    Args:
        rates: as for ``optimizer.update_stage``, and ``max_norm``.
    """
    op.scope = "update"
    packed = packing(network)[BACKBONE]
    flat = op.Concat(*(op.Reshape(stage.parameters[n], op.ints([-1])) for n in packed), axis=0)
    gradients = {BACKBONE: flat} | {
        n: stage.parameters[n] for n in network.parameters if n in network.head
    }
    momenta = {name: f"momentum.{name}" for name in gradients} | {BACKBONE: MOMENTUM}
    factor = clip_factor(op, gradients.values(), rates["max_norm"])
    nesterov = op.Greater(rates["nesterov"], op.number(0.5))
    sgd = Sgd(rates["momentum"], rates["weight_decay"], nesterov, factor)
    updated: dict[str, ir.Value] = {}
    for name, gradient in gradients.items():
        direction, velocity = sgd.update(op, state[name], state[momenta[name]], gradient)
        lr = rates["head_lr" if name in network.head else "lr"]
        updated[name] = op.Sub(state[name], op.Mul(direction, op.beside(lr, state[name])))
        updated[momenta[name]] = velocity
    return updated


def _running_statistics(
    op: GraphBuilder,
    network: Network,
    graph: GradientGraph,
    running: ir.Value,
    stage: Gradients,
) -> ir.Value:
    """Returns the new running statistics of all layers, as one vector.

    running' = (1 - k) running + k statistic with k = 1 - momentum. A variance is multiplied by
    M / (M - 1) with M = N H W. H W is a vector, because it differs from layer to layer; it is not
    used for means.
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
    """Returns the number of elements of a fixed shape."""
    return prod(fixed(d if isinstance(d, int) else None) for d in shape)
