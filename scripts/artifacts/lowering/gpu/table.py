"""The rules for GPUs, by operator."""

from __future__ import annotations

from scripts.artifacts.lowering.gpu.batch_norm import batch_norm_forward, batch_norm_grad
from scripts.artifacts.lowering.gpu.convolution import conv_grad
from scripts.artifacts.lowering.gpu.pooling import max_pool_grad
from scripts.artifacts.lowering.gpu.shapes import add_all, expand, identity, reshape, shape
from scripts.artifacts.lowering.rule import Rule

GPU_RULES: dict[tuple[str, str], Rule] = {
    ("", "Expand"): expand,
    ("", "Identity"): identity,
    ("", "Reshape"): reshape,
    ("", "Shape"): shape,
    ("", "Sum"): add_all,
    ("", "MaxPoolGrad"): max_pool_grad,
    ("com.microsoft", "BatchNormInternal"): batch_norm_forward,
    ("com.microsoft", "BatchNormalizationGrad"): batch_norm_grad,
    ("com.microsoft", "ConvGrad"): conv_grad,
}
"""Rules that replace those of ``lowering.RULES`` in graphs for GPUs."""
