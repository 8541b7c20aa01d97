"""The training step in two graphs, for data parallel: an all-reduce goes between them.

The stages are those of training_graph.py, so the pair gives the numbers of the single graph.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from scripts.artifacts.differentiate import GradientGraph
from scripts.artifacts.graph_builder import GraphBuilder
from scripts.artifacts.graphs.training import (
    OUTPUT_PREFIX,
    SCALARS,
    gradient_stage,
    standard_model,
    update_stage,
    value,
)
from scripts.artifacts.lowering import FROZEN_RULES
from scripts.artifacts.network import Network, Shape

GRADIENT_PREFIX = "gradient."
"""The update graph's input for the gradient of NAME is called gradient.NAME."""


def build_gradients_graph(
    network: Network,
    graph: GradientGraph,
    dtype: ir.DataType = ir.DataType.FLOAT,
    *,
    frozen: bool = False,
) -> ir.Model:
    """Forward and backward pass of one batch.

    Inputs: images [N, 3, S, S], targets [N, C], then parameters and buffers. Outputs: loss [],
    logits [N, C], gradients [P] (of all parameters, flattened, one after the other in their order:
    one buffer to reduce), then the new buffers under ``next.``. N, C and P are symbolic.

    The gradient is linear in the targets: rows divided by the number of ranks give gradients whose
    sum over the ranks is their mean.

    Args:
        graph: has the gradients of what learns.
        frozen: the head alone learns, the backbone is in evaluation mode: no new buffers.
    """
    learning = network.head_alone() if frozen else network
    size = network.input_size
    images = value("images", dtype, ["N", 3, size, size])
    targets = value("targets", dtype, ["N", "C"])
    shapes = {**network.parameters, **network.buffers}
    state = {name: value(name, dtype, shape) for name, shape in shapes.items()}
    op = GraphBuilder(dtype)
    special = FROZEN_RULES if frozen else {}
    stage = gradient_stage(op, learning, graph, state, images, targets, special)
    op.scope = "flatten"
    flat = [op.Reshape(gradient, op.ints([-1])) for gradient in stage.parameters.values()]
    results = {"loss": stage.loss, "logits": stage.logits, "gradients": op.Concat(*flat, axis=0)}
    outputs = _named(op, results, {"loss": [], "logits": ["N", "C"], "gradients": ["P"]})
    outputs += _next(op, stage.buffers, learning.buffers)
    inputs = [images, targets, *state.values()]
    return standard_model("gradients", inputs, outputs, op.nodes, op.constants)


def build_update_graph(
    network: Network, dtype: ir.DataType = ir.DataType.FLOAT, *, extended: bool = False
) -> ir.Model:
    """One step of the optimizer.

    Inputs: lr [] (not of a network that is a head alone), head_lr [], momentum [], weight_decay []
    (``extended``: also nesterov [], 0 or 1), then parameters and their momentum, then the gradients
    under ``gradient.``. Outputs: new parameters and momentum under ``next.``.
    """
    learning_rates = ("lr", "head_lr") if network.parameters.keys() > network.head else ("head_lr",)
    extras = ("nesterov",) if extended else ()
    names = (*learning_rates, *SCALARS, *extras)
    rates = {name: value(name, dtype, []) for name in names}
    shapes = {name: shape for name, shape in network.state().items() if name not in network.buffers}
    state = {name: value(name, dtype, shape) for name, shape in shapes.items()}
    gradients = {
        name: value(f"{GRADIENT_PREFIX}{name}", dtype, shape)
        for name, shape in network.parameters.items()
    }
    op = GraphBuilder(dtype)
    updated = update_stage(op, network, state, gradients, rates)
    outputs = _next(op, updated, shapes)
    inputs = [*rates.values(), *state.values(), *gradients.values()]
    return standard_model("update", inputs, outputs, op.nodes, op.constants)


def _next(
    op: GraphBuilder, values: Mapping[str, ir.Value], shapes: Mapping[str, Shape]
) -> list[ir.Value]:
    named = {f"{OUTPUT_PREFIX}{name}": values[name] for name in shapes}
    return _named(op, named, {f"{OUTPUT_PREFIX}{name}": shapes[name] for name in shapes})


def _named(
    op: GraphBuilder, values: Mapping[str, ir.Value], shapes: Mapping[str, Shape]
) -> list[ir.Value]:
    """The values under these names, with their shapes, as graph outputs."""
    for name, output in values.items():
        output.name = name
        output.shape, output.type = ir.Shape(shapes[name]), ir.TensorType(op.dtype)
    return list(values.values())
