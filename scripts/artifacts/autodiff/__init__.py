"""The project's own reverse mode: gradients of any forward graph whose operators it knows."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from scripts.artifacts.autodiff import (
    activation,
    algebra,
    convolution,
    normalization,
    pooling,
    shape,
)
from scripts.artifacts.autodiff.differentiate import reverse_mode
from scripts.artifacts.autodiff.tape import Gradient
from scripts.artifacts.differentiate import GradientGraph
from scripts.artifacts.network import Network

ELEMENTWISE: dict[str, Gradient] = {
    "Relu": activation.relu,
    "Clip": activation.clip,
    "HardSwish": activation.hard_swish,
    "HardSigmoid": activation.hard_sigmoid,
    "Sigmoid": activation.sigmoid,
    "Swish": activation.swish,
    "Gelu": activation.gelu,
    "Tanh": activation.tanh,
    "Softplus": activation.softplus,
    "Erf": activation.erf,
    "LeakyRelu": activation.leaky_relu,
    "Elu": activation.elu,
    "Dropout": activation.mask,
}
"""Operators whose gradient is a product with one number per element of X.

They take a gradient of one number per channel as it is; the product spreads it.
"""

GRADIENTS: dict[str, Gradient] = {
    **ELEMENTWISE,
    "Conv": convolution.conv,
    "BatchNormInternal": normalization.batch_norm,
    "LayerNormalization": normalization.layer_norm,
    "PRelu": activation.prelu,
    "DropPath": activation.mask,
    "Softmax": activation.softmax,
    "Add": algebra.add,
    "Sum": algebra.add,
    "Sub": algebra.sub,
    "Neg": algebra.neg,
    "Mul": algebra.mul,
    "Div": algebra.div,
    "Sqrt": algebra.sqrt,
    "Pow": algebra.power,
    "Exp": algebra.exp,
    "Log": algebra.log,
    "Reciprocal": algebra.reciprocal,
    "Max": algebra.maximum,
    "Min": algebra.maximum,
    "Gemm": algebra.gemm,
    "MatMul": algebra.matmul,
    "ReduceMean": algebra.reduce_mean,
    "ReduceSum": algebra.reduce_sum,
    "ReduceL2": algebra.reduce_l2,
    "GlobalAveragePool": pooling.global_average_pool,
    "AveragePool": pooling.average_pool,
    "MaxPool": pooling.max_pool,
    "Identity": shape.identity,
    "Cast": shape.identity,
    "Flatten": shape.reshape,
    "Reshape": shape.reshape,
    "Squeeze": shape.reshape,
    "Unsqueeze": shape.reshape,
    "Transpose": shape.transpose,
    "Concat": shape.concat,
    "Split": shape.split,
    "Slice": shape.slice_,
    "Pad": shape.pad_grad,
    "Gather": shape.gather,
    "Expand": shape.expand,
    "Resize": shape.resize,
}
"""The gradient of each operator, by its type."""


def differentiate(
    forward: onnx.ModelProto, network: Network, parameters: Sequence[str] | None = None
) -> GradientGraph:
    """Adds cross entropy and the gradients of parameters to a prepared forward graph.

    Args:
        forward, network: what ``forward.prepare`` returned.
        parameters: names of those that learn; all of the network's if None.

    Raises:
        NetworkError: an operator has no gradient, or a parameter does not reach the logits.
    """
    names = list(network.parameters) if parameters is None else parameters
    return reverse_mode(forward, network, names, GRADIENTS, frozenset(ELEMENTWISE))
