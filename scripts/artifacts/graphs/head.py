"""The training graph of a frozen backbone: only the head learns.

The backbone is in evaluation mode: its running statistics are used and stay as they are. What does
not depend on the head is the same in every step of a call, so it runs once, over all K N images;
the Scan holds the head alone.
"""

from __future__ import annotations

import onnx_ir as ir

from scripts.artifacts.differentiate import GradientGraph
from scripts.artifacts.graph_builder import GraphBuilder, fixed, static_shape
from scripts.artifacts.graphs.training import (
    EXTRA_SCALARS,
    SCALARS,
    StepLoop,
    bind,
    clip_stage,
    standard_model,
    update_stage,
    value,
)
from scripts.artifacts.lowering import FROZEN_RULES, lower
from scripts.artifacts.network import Network, Shape


def build_head_graph(
    network: Network, graph: GradientGraph, dtype: ir.DataType = ir.DataType.FLOAT
) -> ir.Model:
    """K training steps a call, of the head.

    Inputs: images [K, N, 3, S, S], targets [K, N, C], head_lr [K], momentum [], weight_decay [],
    nesterov [], max_norm [], then parameters, the head's momentum and buffers. Outputs: losses [K],
    logits [K, N, C], then the head's new parameters and momentum under ``next.``.

    Args:
        graph: has the gradients of the head.
    """
    head = list(network.head_alone().parameters)
    backbone, rest = _split(graph, head)
    boundary = _boundary(backbone, rest)

    size = network.input_size
    images = value("images", dtype, ["K", "N", 3, size, size])
    scalars = {name: value(name, dtype, []) for name in (*SCALARS, *EXTRA_SCALARS)}
    learning = network.head_alone().state()
    shapes: dict[str, Shape] = {**network.parameters, **learning, **network.buffers}
    state = {name: value(name, dtype, shape) for name, shape in shapes.items()}

    outer = GraphBuilder(dtype)
    outer.scope = "backbone"
    bind(outer, graph, backbone, state)
    outer.values[graph.images] = outer.Reshape(images, outer.ints([-1, 3, size, size]))
    lower(outer, backbone, FROZEN_RULES)
    steps_and_images = outer.Slice(outer.Shape(images), outer.ints([0]), outer.ints([2]))
    shape = outer.Concat(steps_and_images, outer.ints([-1]), axis=0)
    features = outer.Reshape(outer.lowered(boundary), shape)

    slices: dict[str, Shape] = {
        "features": ["N", fixed(static_shape(boundary)[1])],
        "targets": ["N", "C"],
        "head_lr": [],
    }
    given = {name: value(name, dtype, ["K", *slices[name]]) for name in ("targets", "head_lr")}
    loop = StepLoop(dtype, learning, slices)
    bind(loop.op, graph, rest, loop.state)
    loop.op.values |= {boundary: loop.scanned["features"], graph.labels: loop.scanned["targets"]}
    lower(loop.op, rest)
    gradients = {name: loop.op.lowered(graph.gradients[name]) for name in head}
    gradients = clip_stage(loop.op, gradients, scalars["max_norm"])
    updated = update_stage(loop.op, network, loop.state, gradients, {**loop.scanned, **scalars})
    scan, outputs = loop.close(
        state,
        {**given, "features": features},
        updated,
        loop.op.lowered(graph.loss),
        loop.op.lowered(graph.logits),
    )
    inputs = [images, *given.values(), *scalars.values(), *state.values()]
    return standard_model(
        "head_training", inputs, outputs, [*outer.nodes, scan], constants=outer.constants
    )


def _split(graph: GradientGraph, head: list[str]) -> tuple[list[ir.Node], list[ir.Node]]:
    """The nodes before the head, and those that depend on its parameters or the labels."""
    reached = {graph.labels}
    sources = (*graph.model.graph.inputs, *graph.model.graph.initializers.values())
    reached |= {source for source in sources if source.name in head}
    before: list[ir.Node] = []
    after: list[ir.Node] = []
    for node in graph.nodes:
        if reached.isdisjoint(node.inputs):
            before.append(node)
        else:
            after.append(node)
            reached |= set(node.outputs)
    return before, after


def _boundary(before: list[ir.Node], after: list[ir.Node]) -> ir.Value:
    """The one value that goes from the backbone to the head: the features [N, F]."""
    made = {output for node in before for output in node.outputs}
    read = made & {v for node in after for v in node.inputs if v is not None}
    if len(read) != 1:
        raise NotImplementedError(f"expected the head to read one value, got {len(read)}")
    return read.pop()
