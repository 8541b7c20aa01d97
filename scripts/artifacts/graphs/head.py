"""The training graph for a frozen backbone: only the head learns.

The backbone is in evaluation mode: it uses its running statistics and does not change them. Its
features are the same whatever the head is, so the backbone runs once, over all K N images of a
call. The Scan holds the head, and the Dropout right before it, only.
"""

from __future__ import annotations

import onnx_ir as ir

from scripts.artifacts.differentiate import GradientGraph
from scripts.artifacts.errors import NetworkError
from scripts.artifacts.gradient_stage import bind, bind_masks
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
from scripts.artifacts.step_scan import MASKS, PREFIX, StepScan, mask_input


def build_head_graph(
    network: Network, graph: GradientGraph, dtype: ir.DataType = ir.DataType.FLOAT
) -> ir.Model:
    """Returns the graph of K training steps of the head per call.

    Inputs: images [K, N, 3, S, S], targets [K, N, C], head_lr [K], masks [K, N, D] if the network
    has any, momentum [], weight_decay [], nesterov [], max_norm [], then parameters, the head's
    momentum and buffers. Outputs: losses [K], logits [K, N, C], then the head's new parameters and
    momentum under ``next.``.

    Args:
        graph: has the gradients of the head.
    """
    learning = network.head_only()
    backbone, rest = _split(graph, learning)
    boundary = _boundary(backbone, rest)

    size = network.input_size
    images = typed_value("images", dtype, ["K", "N", 3, size, size])
    scalars = {name: typed_value(name, dtype, []) for name in (*SCALARS, *EXTRA_SCALARS)}
    shapes: dict[str, Shape] = {**network.parameters, **learning.state(), **network.buffers}
    state = {name: typed_value(name, dtype, shape) for name, shape in shapes.items()}

    outer = GraphBuilder(dtype)
    outer.scope = "backbone"
    bind(outer, graph, backbone, state)
    outer.values[graph.images] = outer.Reshape(images, outer.ints([-1, 3, size, size]))
    lower(outer, backbone, FROZEN_RULES)
    steps_and_images = outer.Slice(outer.Shape(images), outer.ints([0]), outer.ints([2]))
    features = {name: _per_step(outer, value, steps_and_images) for name, value in boundary.items()}

    slices: dict[str, Shape] = {name: _shape(value) for name, value in boundary.items()}
    slices |= {"targets": ["N", "C"], "head_lr": [], **mask_input(network)}
    given = {
        name: typed_value(name, dtype, ["K", *shape])
        for name, shape in slices.items()
        if name not in boundary
    }
    steps = StepScan(GraphBuilder(dtype, PREFIX), learning.state(), slices)
    op = steps.op
    bind(op, graph, rest, steps.state)
    bind_masks(op, learning, steps.scanned.get(MASKS))
    op.values |= {value: steps.scanned[name] for name, value in boundary.items()}
    op.values[graph.labels] = steps.scanned["targets"]
    lower(op, rest)
    gradients = {name: op.lowered(graph.gradients[name]) for name in learning.parameters}
    gradients = clip_stage(op, steps.state, gradients, scalars["max_norm"])
    updated = update_stage(op, network, steps.state, gradients, steps.scanned | scalars)
    scan, outputs = steps.build(
        state | given | features, updated, op.lowered(graph.loss), op.lowered(graph.logits)
    )
    inputs = [images, *given.values(), *scalars.values(), *state.values()]
    return standard_model(
        "head_training", inputs, outputs, [*outer.nodes, scan], constants=outer.constants
    )


def _split(graph: GradientGraph, learning: Network) -> tuple[list[ir.Node], list[ir.Node]]:
    """Returns the nodes before the head, and those of a step.

    A step has what depends on the head's parameters or the labels, and the head's Dropout, whose
    mask differs from step to step.
    """
    reached = {graph.labels}
    sources = (*graph.model.graph.inputs, *graph.model.graph.initializers.values())
    reached |= {source for source in sources if source.name in learning.parameters}
    random = {entry.name for entry in learning.masks.entries}
    before: list[ir.Node] = []
    after: list[ir.Node] = []
    for node in graph.nodes:
        if reached.isdisjoint(node.inputs) and node.name not in random:
            before.append(node)
        else:
            after.append(node)
            reached |= set(node.outputs)
    return before, after


def _boundary(before: list[ir.Node], after: list[ir.Node]) -> dict[str, ir.Value]:
    """Returns the features: what the step reads of the backbone, by the name in the graph.

    Raises:
        NetworkError: one of them is not a tensor of numbers for each image.
    """
    read = {v for node in after for v in node.inputs if v is not None}
    crossing = [v for node in before for v in node.outputs if v in read]
    for value in crossing:
        if not value.shape or isinstance(value.shape[0], int):
            raise NetworkError(
                f"expected features [N, ...] before the head, got {value.name} {value.shape}; "
                "this network cannot be trained with a frozen backbone"
            )
    names = ["features", *(f"features_{number}" for number in range(1, len(crossing)))]
    return dict(zip(names, crossing, strict=False))


def _shape(features: ir.Value) -> Shape:
    return ["N", *(fixed(size) for size in static_shape(features)[1:])]


def _per_step(op: GraphBuilder, features: ir.Value, steps_and_images: ir.Value) -> ir.Value:
    """Returns features [K N, F, ...] as [K, N, F, ...]."""
    rest = static_shape(features)[2:]
    shape = op.Concat(steps_and_images, op.ints([-1, *map(fixed, rest)]), axis=0)
    return op.Reshape(op.lowered(features), shape)
