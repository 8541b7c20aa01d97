"""Forward and backward pass over one batch, in standard ONNX operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import onnx_ir as ir

from scripts.artifacts.differentiate import GradientGraph
from scripts.artifacts.graph_builder import NUMPY_DTYPES, GraphBuilder
from scripts.artifacts.lowering import lower
from scripts.artifacts.lowering.rule import Rule
from scripts.artifacts.network import Network
from scripts.artifacts.step_scan import MASKS


@dataclass(frozen=True)
class Gradients:
    """Results of one forward and backward pass.

    Attributes:
        parameters: the gradient of each parameter, by name.
        buffers: the new BatchNorm statistics, by name.
    """

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
    """Maps what ``nodes`` read from outside to new values: the state by name, and constants.

    Args:
        op: its ``values`` are replaced by this map.
    """
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


def bind_masks(op: GraphBuilder, network: Network, masks: ir.Value | None) -> None:
    """Gives each Dropout and each stochastic depth of ``network`` its columns of ``masks`` [N, D].

    Layers without columns are in evaluation mode. So is everything if ``masks`` is None.
    """
    if masks is None:
        return
    op.scope = "masks"
    found: dict[str, ir.Value] = {}
    for entry in network.masks.entries:
        begin, end = op.ints([entry.offset]), op.ints([entry.offset + entry.width])
        columns = op.Slice(masks, begin, end, op.ints([1]))
        columns.shape, columns.type = ir.Shape(["N", entry.width]), ir.TensorType(op.dtype)
        found[entry.name] = columns
    op.masks = found


def gradient_stage(
    op: GraphBuilder,
    network: Network,
    graph: GradientGraph,
    values: Mapping[str, ir.Value],
    overrides: Mapping[tuple[str, str], Rule] = MappingProxyType({}),
) -> Gradients:
    """Records the forward and the backward pass over one batch.

    Args:
        network: the part that learns; buffers that it does not have keep their values.
        values: every parameter and buffer by name, ``images`` [N, 3, S, S], ``targets`` [N, C]
            and, if the network has any, ``masks`` [N, D]. The targets are weighted and divided by
            the batch's weight (see lowering/loss.py).
        overrides: lowering rules that replace those of the table.
    """
    bind(op, graph, graph.nodes, values)
    bind_masks(op, network, values.get(MASKS))
    op.values |= {graph.images: values["images"], graph.labels: values["targets"]}
    lower(op, graph.nodes, overrides)
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
