"""Which networks have graphs for GPUs: those whose operators were checked on them."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

CHECKED = frozenset(
    {
        *(("", name) for name in ("Add", "Conv", "Expand", "Flatten", "Gemm", "Identity")),
        *(("", name) for name in ("GlobalAveragePool", "MaxPool", "MaxPoolGrad", "ReduceSum")),
        *(("", name) for name in ("Relu", "Reshape", "Shape", "SoftmaxCrossEntropyLoss", "Sum")),
        *(("com.microsoft", name) for name in ("BatchNormInternal", "BatchNormalizationGrad")),
        *(("com.microsoft", name) for name in ("ConvGrad", "ReluGrad", "Scale")),
        ("com.microsoft", "SoftmaxCrossEntropyLossGrad"),
    }
)
"""Operators of a gradient graph whose rules give kernels that CUDA and WebGPU have."""


def has_gpu_rules(nodes: Sequence[ir.Node]) -> bool:
    """Checks whether a gradient graph can be lowered for GPUs.

    The packed state of those graphs has a vector of BatchNorm's statistics, which must not be
    empty.
    """
    kinds = {(node.domain, node.op_type) for node in nodes}
    return kinds <= CHECKED and ("com.microsoft", "BatchNormInternal") in kinds
