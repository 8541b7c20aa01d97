"""The training graph: gradients and optimizer, K steps in one Scan."""

from __future__ import annotations

import onnx_ir as ir

from scripts.artifacts.differentiate import GradientGraph
from scripts.artifacts.gradient_stage import gradient_stage
from scripts.artifacts.graph_builder import GraphBuilder, standard_model, typed_value
from scripts.artifacts.network import Network
from scripts.artifacts.optimizer import EXTRA_SCALARS, SCALARS, clip_stage, update_stage
from scripts.artifacts.step_scan import PREFIX, StepScan, step_inputs


def build_training_graph(
    network: Network,
    graph: GradientGraph,
    dtype: ir.DataType = ir.DataType.FLOAT,
    extended: bool = False,
) -> ir.Model:
    """Returns the graph of K training steps per call.

    Inputs: images [K, N, 3, S, S], targets [K, N, C], lr [K], head_lr [K], masks [K, N, D] if the
    network has any, momentum [], weight_decay [] (``extended``: also nesterov [], 0 or 1, and
    max_norm [], infinite for no clipping), then the state. Outputs: losses [K], logits [K, N, C],
    then the new state under ``next.``. K, N, C are symbolic, D is the masks' width.
    """
    slices = step_inputs(network)
    scanned = {name: typed_value(name, dtype, ["K", *shape]) for name, shape in slices.items()}
    names = (*SCALARS, *EXTRA_SCALARS) if extended else SCALARS
    scalars = {name: typed_value(name, dtype, []) for name in names}
    state = {name: typed_value(name, dtype, shape) for name, shape in network.state().items()}

    steps = StepScan(GraphBuilder(dtype, PREFIX), network.state(), slices)
    stage = gradient_stage(steps.op, network, graph, steps.state | steps.scanned)
    gradients = stage.parameters
    if extended:
        gradients = clip_stage(steps.op, steps.state, gradients, scalars["max_norm"])
    updated = update_stage(steps.op, network, steps.state, gradients, steps.scanned | scalars)
    scan, outputs = steps.build(state | scanned, updated | stage.buffers, stage.loss, stage.logits)
    inputs = [*scanned.values(), *scalars.values(), *state.values()]
    return standard_model("training", inputs, outputs, [scan])
