"""The training graph for a frozen backbone: only the head learns.

The backbone is in evaluation mode: it uses its running statistics and does not change them. Its
features are the same whatever the head is, so the backbone runs once, over all K N images of a
call. The Scan holds the head only.
"""

from __future__ import annotations

import onnx_ir as ir

from scripts.artifacts.differentiate import GradientGraph
from scripts.artifacts.gradient_stage import bind
from scripts.artifacts.graph_builder import (
    GraphBuilder,
    fixed,
    standard_model,
    static_shape,
    typed_value,
)
from scripts.artifacts.lowering import FROZEN_RULES, lower
from scripts.artifacts.network import Network, Shape
from scripts.artifacts.optimizer import EXTRA_SCALARS, SCALARS, clip_stage, update_stage
from scripts.artifacts.step_scan import PREFIX, StepScan


def build_head_graph(
    network: Network, graph: GradientGraph, dtype: ir.DataType = ir.DataType.FLOAT
) -> ir.Model:
    """Returns the graph of K training steps of the head per call.

    Inputs: images [K, N, 3, S, S], targets [K, N, C], head_lr [K], momentum [], weight_decay [],
    nesterov [], max_norm [], then parameters, the head's momentum and buffers. Outputs: losses [K],
    logits [K, N, C], then the head's new parameters and momentum under ``next.``.

    Args:
        graph: has the gradients of the head.
    """
    head = list(network.head_only().parameters)
    backbone, rest = _split(graph, head)
    boundary = _boundary(backbone, rest)

    size = network.input_size
    images = typed_value("images", dtype, ["K", "N", 3, size, size])
    scalars = {name: typed_value(name, dtype, []) for name in (*SCALARS, *EXTRA_SCALARS)}
    learning = network.head_only().state()
    shapes: dict[str, Shape] = {**network.parameters, **learning, **network.buffers}
    state = {name: typed_value(name, dtype, shape) for name, shape in shapes.items()}

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
    given = {
        name: typed_value(name, dtype, ["K", *slices[name]]) for name in ("targets", "head_lr")
    }
    steps = StepScan(GraphBuilder(dtype, PREFIX), learning, slices)
    op = steps.op
    bind(op, graph, rest, steps.state)
    op.values |= {boundary: steps.scanned["features"], graph.labels: steps.scanned["targets"]}
    lower(op, rest)
    gradients = {name: op.lowered(graph.gradients[name]) for name in head}
    gradients = clip_stage(op, steps.state, gradients, scalars["max_norm"])
    updated = update_stage(op, network, steps.state, gradients, steps.scanned | scalars)
    scan, outputs = steps.build(
        state | given | {"features": features},
        updated,
        op.lowered(graph.loss),
        op.lowered(graph.logits),
    )
    inputs = [images, *given.values(), *scalars.values(), *state.values()]
    return standard_model(
        "head_training", inputs, outputs, [*outer.nodes, scan], constants=outer.constants
    )


def _split(graph: GradientGraph, head: list[str]) -> tuple[list[ir.Node], list[ir.Node]]:
    """Returns the nodes before the head, and those that depend on its parameters or the labels."""
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
    """Returns the features [N, F], the only value that the head reads from the backbone."""
    made = {output for node in before for output in node.outputs}
    read = made & {v for node in after for v in node.inputs if v is not None}
    if len(read) != 1:
        raise NotImplementedError(f"expected the head to read one value, got {len(read)}")
    return read.pop()
