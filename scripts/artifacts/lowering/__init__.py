"""Lowering: replaces every training-only operator of the gradient graph by standard ONNX.

There is one rule per operator. A rule takes the builder, the node and the node's inputs in the new
graph. It returns one value per output of the node, or ``None`` for an output that no node reads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import onnx_ir as ir

from scripts.artifacts.graph_builder import GraphBuilder
from scripts.artifacts.lowering.activation import relu_grad
from scripts.artifacts.lowering.batch_norm import (
    batch_norm_forward,
    batch_norm_frozen,
    batch_norm_grad,
)
from scripts.artifacts.lowering.convolution.forward import conv_forward
from scripts.artifacts.lowering.convolution.gradient import conv_grad
from scripts.artifacts.lowering.loss import soft_cross_entropy, soft_cross_entropy_grad
from scripts.artifacts.lowering.pooling import max_pool, max_pool_grad
from scripts.artifacts.lowering.rule import Rule
from scripts.artifacts.lowering.scaling import scale

COUNTER = re.compile(r"::\d+")

RULES: dict[tuple[str, str], Rule] = {
    ("", "Conv"): conv_forward,
    ("", "MaxPool"): max_pool,
    ("", "MaxPoolGrad"): max_pool_grad,
    ("", "SoftmaxCrossEntropyLoss"): soft_cross_entropy,
    ("com.microsoft", "SoftmaxCrossEntropyLossGrad"): soft_cross_entropy_grad,
    ("com.microsoft", "BatchNormInternal"): batch_norm_forward,
    ("com.microsoft", "BatchNormalizationGrad"): batch_norm_grad,
    ("com.microsoft", "ConvGrad"): conv_grad,
    ("com.microsoft", "ReluGrad"): relu_grad,
    ("com.microsoft", "Scale"): scale,
}

FROZEN_RULES: dict[tuple[str, str], Rule] = {
    ("com.microsoft", "BatchNormInternal"): batch_norm_frozen,
}
"""Rules that replace those of RULES for a part of the network in evaluation mode."""

STANDARD = {
    *("Add", "Expand", "Flatten", "Gemm", "GlobalAveragePool", "Identity"),
    *("ReduceSum", "Relu", "Reshape", "Shape", "Sum"),
}
"""Operators of the gradient graph that are standard ONNX already; they are copied."""


def lower(
    op: GraphBuilder,
    nodes: Sequence[ir.Node],
    overrides: Mapping[tuple[str, str], Rule] = MappingProxyType({}),
) -> None:
    """Lowers ``nodes`` (in order) into ``op``.

    Args:
        op: receives the new nodes. Before the call, its ``values`` map the old graph's inputs and
            initializers to new values. After the call, they map every value.
        nodes: the gradient graph's nodes, topologically sorted.
        overrides: rules that replace those of RULES.

    Raises:
        NotImplementedError: an operator has no rule and is not a standard one.
    """
    for node in nodes:
        inputs = [None if value is None else op.values[value] for value in node.inputs]
        # onnxblock numbers nodes across the whole process. Drop the number, so that the names do
        # not depend on what was built before.
        op.scope = COUNTER.sub("", node.name or node.op_type).strip("/")
        kind = (node.domain, node.op_type)
        rule = overrides.get(kind, RULES.get(kind))
        if rule is not None:
            outputs = rule(op, node, inputs)
        elif node.domain == "" and node.op_type in STANDARD:
            outputs = op.copy(node, inputs)
        else:
            raise NotImplementedError(
                f"expected an operator with a lowering rule, got {node.domain or 'ai.onnx'}."
                f"{node.op_type} ({node.name}); add a rule for it to scripts/artifacts/lowering"
            )
        for old, new in zip(node.outputs, outputs, strict=True):
            op.values[old] = new
