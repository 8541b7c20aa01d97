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
from scripts.artifacts.lowering.activation import piecewise, smooth
from scripts.artifacts.lowering.attention import softmax_grad, table_grad
from scripts.artifacts.lowering.batch_norm import (
    batch_norm_forward,
    batch_norm_frozen,
    batch_norm_grad,
)
from scripts.artifacts.lowering.convolution.forward import conv_forward
from scripts.artifacts.lowering.convolution.gradient import conv_grad
from scripts.artifacts.lowering.layer_norm import layer_norm_grad
from scripts.artifacts.lowering.loss import soft_cross_entropy, soft_cross_entropy_grad
from scripts.artifacts.lowering.pooling.average import average_pool, average_pool_grad
from scripts.artifacts.lowering.pooling.maximum import max_pool, max_pool_grad
from scripts.artifacts.lowering.randomness import mask_grad, random_mask
from scripts.artifacts.lowering.rule import Rule
from scripts.artifacts.lowering.scaling import mean_grad, scale

COUNTER = re.compile(r"::\d+")

RULES: dict[tuple[str, str], Rule] = {
    # Convolutions
    ("", "Conv"): conv_forward,
    ("com.microsoft", "ConvGrad"): conv_grad,
    # Normalisation
    ("com.microsoft", "BatchNormInternal"): batch_norm_forward,
    ("com.microsoft", "BatchNormalizationGrad"): batch_norm_grad,
    ("train", "LayerNormalizationGrad"): layer_norm_grad,
    # Activations
    ("", "HardSigmoid"): piecewise.hard_sigmoid,
    ("", "HardSwish"): piecewise.hard_swish,
    ("train", "Gelu"): smooth.gelu,
    ("train", "Swish"): smooth.swish,
    ("com.microsoft", "ReluGrad"): piecewise.relu_grad,
    ("train", "ClipGrad"): piecewise.clip_grad,
    ("train", "EluGrad"): piecewise.elu_grad,
    ("train", "GeluGrad"): smooth.gelu_grad,
    ("train", "HardSigmoidGrad"): piecewise.hard_sigmoid_grad,
    ("train", "HardSwishGrad"): piecewise.hard_swish_grad,
    ("train", "LeakyReluGrad"): piecewise.leaky_relu_grad,
    ("train", "PReluGrad"): piecewise.prelu_grad,
    ("train", "SigmoidGrad"): smooth.sigmoid_grad,
    ("train", "SwishGrad"): smooth.swish_grad,
    ("train", "TanhGrad"): smooth.tanh_grad,
    # Pools
    ("", "AveragePool"): average_pool,
    ("train", "AveragePoolGrad"): average_pool_grad,
    ("", "MaxPool"): max_pool,
    ("", "MaxPoolGrad"): max_pool_grad,
    # Attention
    ("train", "SoftmaxGrad"): softmax_grad,
    ("train", "TableGrad"): table_grad,
    # Random numbers
    ("", "Dropout"): random_mask,
    ("train", "DropPath"): random_mask,
    ("train", "MaskGrad"): mask_grad,
    # Loss, and numbers that scale
    ("", "SoftmaxCrossEntropyLoss"): soft_cross_entropy,
    ("com.microsoft", "SoftmaxCrossEntropyLossGrad"): soft_cross_entropy_grad,
    ("com.microsoft", "Scale"): scale,
    ("train", "Mean"): mean_grad,
}
"""The rules, by domain and operator. ``com.microsoft`` is onnxruntime-training's domain. ``train``
is that of operators which only this project has; scripts/artifacts/autodiff emits them."""

FROZEN_RULES: dict[tuple[str, str], Rule] = {
    ("com.microsoft", "BatchNormInternal"): batch_norm_frozen,
}
"""Rules that replace those of RULES for a part of the network in evaluation mode."""

STANDARD = {
    # Arithmetic and products
    *("Add", "Div", "Erf", "Exp", "Gemm", "Log", "MatMul", "Max", "Min", "Mul", "Neg", "Pow"),
    *("Reciprocal", "Sqrt", "Sub", "Sum"),
    # Functions of a tensor
    *("Clip", "Elu", "LayerNormalization", "LeakyRelu", "PRelu", "Relu", "Sigmoid", "Softmax"),
    *("Equal", "GlobalAveragePool", "ReduceL2", "ReduceMean", "ReduceSum", "Softplus", "Tanh"),
    "Where",
    # Shapes and places
    *("Cast", "Concat", "Expand", "Flatten", "Gather", "Identity", "Pad", "Reshape", "Resize"),
    *("Shape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"),
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
