"""Which program derives a network's gradients: onnxruntime-training, or the project's own.

onnxruntime-training derives every network whose operators it turns into operators with a lowering
rule. On those networks the two programs are held equal in float64 (test_training.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx

from scripts.artifacts import autodiff, differentiate
from scripts.artifacts.differentiate import GradientGraph
from scripts.artifacts.forward import Prepared

ONNXRUNTIME_TRAINING = frozenset(
    {
        *("Add", "BatchNormalization", "Conv", "Flatten", "Gemm", "GlobalAveragePool"),
        *("Identity", "MaxPool", "Relu"),
    }
)
"""Operators of a forward graph whose gradients onnxruntime-training 1.19.2 derives, in operators
that have a lowering rule. For others it emits operators without one (Clip, Concat, grouped
HardSwish), or fails (LayerNormalization with one output, HardSigmoid)."""


@dataclass(frozen=True)
class GradientWay:
    """A program that adds the loss and the gradients to a forward graph.

    Attributes:
        name: for the manifest.
        differentiate: the forward graph and names of parameters -> the gradient graph.
    """

    name: str
    differentiate: Callable[[Prepared, list[str]], GradientGraph]


TRAINING_PACKAGE = GradientWay(
    "onnxruntime.training.artifacts.generate_artifacts(CrossEntropyLoss)",
    lambda forward, parameters: differentiate.differentiate(forward.proto, parameters),
)

OWN = GradientWay(
    "scripts/artifacts/autodiff",
    lambda forward, parameters: autodiff.differentiate(forward.proto, forward.network, parameters),
)


def gradient_way(forward: Prepared) -> GradientWay:
    """Returns the program that derives a network's gradients."""
    return OWN if beyond_training_package(forward.proto) else TRAINING_PACKAGE


def beyond_training_package(forward: onnx.ModelProto) -> list[str]:
    """Returns the operators of a network for which onnxruntime-training does not serve."""
    return sorted({node.op_type for node in forward.graph.node} - ONNXRUNTIME_TRAINING)
