"""K training steps in one call, as one Scan operator."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from scripts.artifacts.graph_builder import GraphBuilder, typed_value
from scripts.artifacts.network import OUTPUT_PREFIX, Network, Shape

PREFIX = "step."
"""Prefix of the names of values inside the Scan."""

MASKS = "masks"
"""Input of the random numbers for Dropout and stochastic depth, 0 or 1 / (1 - p)."""


def step_inputs(network: Network) -> dict[str, Shape]:
    """Returns names and shapes of the inputs that differ from step to step."""
    size = network.input_size
    return {
        "images": ["N", 3, size, size],
        "targets": ["N", "C"],
        "lr": [],
        "head_lr": [],
        **mask_input(network),
    }


def mask_input(network: Network) -> dict[str, Shape]:
    """Returns the input for Dropout and stochastic depth, by name; {} if there are none."""
    return {MASKS: ["N", network.masks.width]} if network.masks.width else {}


class StepScan:
    """Builds the Scan: the state goes from step to step, each step reads its slice of the rest.

    Attributes:
        op: records the nodes of one step.
        state: the state before one step, by name.
        scanned: one step's slices, by name.
    """

    def __init__(
        self, op: GraphBuilder, state: Mapping[str, Shape], scanned: Mapping[str, Shape]
    ) -> None:
        """Takes an empty builder with PREFIX, and the shapes of the state and of the slices."""
        self.op = op
        self.state = {n: typed_value(PREFIX + n, op.dtype, shape) for n, shape in state.items()}
        self.scanned = {n: typed_value(PREFIX + n, op.dtype, shape) for n, shape in scanned.items()}

    def build(
        self,
        inputs: Mapping[str, ir.Value],
        updated: Mapping[str, ir.Value],
        loss: ir.Value,
        logits: ir.Value,
    ) -> tuple[ir.Node, list[ir.Value]]:
        """Returns the Scan and its outputs: losses [K], logits [K, N, C], the new state.

        Args:
            inputs: by name, the state before the first step and what is scanned, with first
                dimension K.
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
            [inputs[name] for name in (*self.state, *self.scanned)],
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


def _shape(value: ir.Value) -> list[int | str]:
    assert value.shape is not None
    return [d if isinstance(d, int) else str(d.value) for d in value.shape]
