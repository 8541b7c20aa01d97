"""The training step as two graphs, for data parallel training: an all-reduce goes between them.

They record the same stages as the training graph, so the pair computes the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from scripts.artifacts.differentiate import GradientGraph
from scripts.artifacts.gradient_stage import gradient_stage
from scripts.artifacts.graph_builder import GraphBuilder, standard_model, typed_value
from scripts.artifacts.lowering import FROZEN_RULES
from scripts.artifacts.network import OUTPUT_PREFIX, Network, Shape
from scripts.artifacts.optimizer import SCALARS, update_stage
from scripts.artifacts.step_scan import mask_input

GRADIENT_PREFIX = "gradient."
"""Prefix of the update graph's inputs: the gradient of NAME is called gradient.NAME."""


def build_gradients_graph(
    network: Network,
    graph: GradientGraph,
    dtype: ir.DataType = ir.DataType.FLOAT,
    *,
    frozen: bool = False,
) -> ir.Model:
    """Returns the graph of the forward and backward pass over one batch.

    Inputs: images [N, 3, S, S], targets [N, C], masks [N, D] if the network has any, then
    parameters and buffers. Outputs: loss [], logits [N, C], gradients [P], then the new buffers
    under ``next.``. N, C and P are symbolic.
    ``gradients`` holds all gradients, flattened, in the order of the parameters: one buffer for
    the all-reduce.

    The gradient is linear in the targets. If the targets are divided by the number of ranks, the
    sum of the gradients over the ranks is their mean.

    Args:
        graph: has the gradients of the part that learns.
        frozen: only the head learns. The backbone is in evaluation mode, so no new buffers.
    """
    learning = network.head_only() if frozen else network
    size = network.input_size
    images = typed_value("images", dtype, ["N", 3, size, size])
    targets = typed_value("targets", dtype, ["N", "C"])
    masks = {name: typed_value(name, dtype, s) for name, s in mask_input(network).items()}
    shapes = {**network.parameters, **network.buffers}
    state = {name: typed_value(name, dtype, shape) for name, shape in shapes.items()}
    op = GraphBuilder(dtype)
    overrides = FROZEN_RULES if frozen else {}
    values = {**state, **masks, "images": images, "targets": targets}
    stage = gradient_stage(op, learning, graph, values, overrides)
    op.scope = "flatten"
    flat = [op.Reshape(gradient, op.ints([-1])) for gradient in stage.parameters.values()]
    results = {"loss": stage.loss, "logits": stage.logits, "gradients": op.Concat(*flat, axis=0)}
    outputs = _named(op, results, {"loss": [], "logits": ["N", "C"], "gradients": ["P"]})
    outputs += _new_state(op, stage.buffers, learning.buffers)
    inputs = [images, targets, *masks.values(), *state.values()]
    return standard_model("gradients", inputs, outputs, op.nodes, op.constants)


def build_update_graph(
    network: Network, dtype: ir.DataType = ir.DataType.FLOAT, *, extended: bool = False
) -> ir.Model:
    """Returns the graph of one step of the optimizer.

    Inputs: lr [] (unless the network is a head only), head_lr [], momentum [], weight_decay []
    (``extended``: also nesterov [], 0 or 1), then parameters and their momentum, then the gradients
    under ``gradient.``. Outputs: new parameters and momentum under ``next.``.
    """
    learning_rates = ("lr", "head_lr") if network.parameters.keys() > network.head else ("head_lr",)
    extras = ("nesterov",) if extended else ()
    names = (*learning_rates, *SCALARS, *extras)
    rates = {name: typed_value(name, dtype, []) for name in names}
    shapes = {name: shape for name, shape in network.state().items() if name not in network.buffers}
    state = {name: typed_value(name, dtype, shape) for name, shape in shapes.items()}
    gradients = {
        name: typed_value(f"{GRADIENT_PREFIX}{name}", dtype, shape)
        for name, shape in network.parameters.items()
    }
    op = GraphBuilder(dtype)
    updated = update_stage(op, network, state, gradients, rates)
    outputs = _new_state(op, updated, shapes)
    inputs = [*rates.values(), *state.values(), *gradients.values()]
    return standard_model("update", inputs, outputs, op.nodes, op.constants)


def _new_state(
    op: GraphBuilder, values: Mapping[str, ir.Value], shapes: Mapping[str, Shape]
) -> list[ir.Value]:
    """Returns the values as graph outputs under ``next.``."""
    named = {f"{OUTPUT_PREFIX}{name}": values[name] for name in shapes}
    return _named(op, named, {f"{OUTPUT_PREFIX}{name}": shapes[name] for name in shapes})


def _named(
    op: GraphBuilder, values: Mapping[str, ir.Value], shapes: Mapping[str, Shape]
) -> list[ir.Value]:
    """Gives the values these names and shapes; returns them as graph outputs."""
    for name, output in values.items():
        output.name = name
        output.shape, output.type = ir.Shape(shapes[name]), ir.TensorType(op.dtype)
    return list(values.values())
