"""Compares each lowering rule alone with PyTorch's autograd in float64."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
import torch.nn.functional as F

from scripts.artifacts.lowering import RULES, lower
from scripts.reference.lowering_rule import (
    MS,
    assert_close,
    backpropagate,
    builder_with,
    evaluate,
    gradient_node,
    numpy,
    placeholder,
    random,
)

TESTED = {
    (MS, "ReluGrad"),
    (MS, "Scale"),
    ("", "SoftmaxCrossEntropyLoss"),
    (MS, "SoftmaxCrossEntropyLossGrad"),
    (MS, "BatchNormInternal"),
    (MS, "BatchNormalizationGrad"),
    ("", "Conv"),
    (MS, "ConvGrad"),
    ("", "MaxPool"),
    ("", "MaxPoolGrad"),
}


def test_every_rule_has_a_test() -> None:
    assert set(RULES) == TESTED


def test_an_operator_without_a_rule_is_refused() -> None:
    x = placeholder("x", np.zeros((1, 1)))
    with pytest.raises(NotImplementedError, match=r"com\.microsoft\.GeluGrad .*add a rule"):
        lower(builder_with(x), [gradient_node(MS, "GeluGrad", [x], {}, ["y"])])


@pytest.mark.parametrize("batch", [1, 3])
def test_relu_grad(batch: int) -> None:
    x = random(batch, 2, 5, 3)
    x[0, 0, 0] = torch.tensor([0.0, -1e-30, 1e-30])
    x.requires_grad_()
    y = F.relu(x)
    d_y = random(*x.shape, seed=1)
    backpropagate(y, d_y)
    upstream, value = placeholder("dY", numpy(d_y)), placeholder("Y", numpy(y))
    node = gradient_node(MS, "ReluGrad", [upstream, value], {}, ["dX"])
    (d_x,) = evaluate([node], {upstream: numpy(d_y), value: numpy(y)}, node.outputs)
    np.testing.assert_array_equal(d_x, numpy(x.grad))


@pytest.mark.parametrize(("down", "factor"), [(1, 1 / 49), (0, 49.0)])
def test_scale(down: int, factor: float) -> None:
    x, s = numpy(random(3, 2)), np.array([49.0])
    inputs = [placeholder("x", x), placeholder("s", s)]
    node = gradient_node(MS, "Scale", inputs, {"scale_down": down}, ["y"])
    (y,) = evaluate([node], dict(zip(inputs, [x, s], strict=True)), node.outputs)
    assert_close(y, x * factor)


@pytest.mark.parametrize(("batch", "classes"), [(1, 2), (3, 2), (4, 10)])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_soft_cross_entropy(batch: int, classes: int, smoothing: float, weighted: bool) -> None:
    """Compares with PyTorch; class weights and label smoothing only change the targets."""
    z = (random(batch, classes) * 20).requires_grad_()
    labels = torch.arange(batch) % classes
    weight = torch.linspace(0.5, 2, classes, dtype=torch.double) if weighted else None
    loss = F.cross_entropy(z, labels, weight=weight, label_smoothing=smoothing)
    backpropagate(loss * 3)

    ones = torch.ones(classes, dtype=torch.double) if weight is None else weight
    rows = torch.full((batch, classes), smoothing / classes, dtype=torch.double) * ones
    rows += (1 - smoothing) * F.one_hot(labels, classes).double() * ones
    targets = numpy(rows / ones[labels].sum())

    values = [placeholder("z", numpy(z)), placeholder("T", targets)]
    forward = gradient_node("", "SoftmaxCrossEntropyLoss", values, {}, ["L", "logp"])
    upstream = placeholder("dL", np.array(3.0))
    backward = gradient_node(
        MS, "SoftmaxCrossEntropyLossGrad", [upstream, forward.outputs[1], values[1]], {}, ["dz"]
    )
    feeds = {values[0]: numpy(z), values[1]: targets, upstream: np.array(3.0)}
    found_loss, d_z = evaluate(
        [forward, backward], feeds, [forward.outputs[0], backward.outputs[0]]
    )
    assert_close(found_loss, numpy(loss))
    assert_close(d_z, numpy(z.grad))


@pytest.mark.parametrize("shape", [(1, 2, 5, 3), (3, 4, 7, 7), (4, 1, 1, 1)])
@pytest.mark.parametrize("momentum", [0.1, 0.3])
def test_batch_norm(shape: tuple[int, int, int, int], momentum: float) -> None:
    channels = shape[1]
    x = (random(*shape) * 3 + 5).requires_grad_()
    gamma, beta = random(channels, seed=1).requires_grad_(), random(channels, seed=2)
    beta.requires_grad_()
    before = [random(channels, seed=3), random(channels, seed=4).exp()]
    mean, var = before[0].clone(), before[1].clone()
    y = F.batch_norm(x, mean, var, gamma, beta, training=True, momentum=momentum)
    d_y = random(*shape, seed=5)
    backpropagate(y, d_y)

    arrays = [numpy(t) for t in (x, gamma, beta, *before)]
    values = [placeholder(f"v{i}", a) for i, a in enumerate(arrays)]
    attributes = {"epsilon": 1e-5, "momentum": 1 - momentum}
    forward = gradient_node(
        MS, "BatchNormInternal", values, attributes, ["Y", "mean", "var", "saved", "inv_std"]
    )
    upstream = placeholder("dY", numpy(d_y))
    saved = list(forward.outputs[3:])
    backward = gradient_node(
        MS,
        "BatchNormalizationGrad",
        [upstream, values[0], values[1], *saved],
        {"epsilon": 1e-5},
        ["dX", "dgamma", "dbeta"],
    )
    feeds = {**dict(zip(values, arrays, strict=True)), upstream: numpy(d_y)}
    wanted = [*forward.outputs[:3], *backward.outputs]
    found = evaluate([forward, backward], feeds, wanted)
    expected = [y, mean, var, x.grad, gamma.grad, beta.grad]
    for got, want in zip(found, expected, strict=True):
        assert_close(got, numpy(want), rtol=1e-9, atol=1e-10)


POOLS = [
    # kernel, stride, padding, dilation, ceil_mode, height, width
    (3, 2, 1, 1, False, 7, 9),
    (3, 2, 1, 1, False, 8, 6),
    (3, 2, 1, 1, True, 8, 6),
    (2, 2, 0, 1, False, 7, 6),
    (3, 1, 1, 1, False, 5, 4),
    (3, 3, 0, 1, False, 10, 9),
    (2, 3, 0, 1, False, 9, 8),
    (3, 2, 1, 2, False, 9, 10),
    (3, 2, 1, 1, False, 112, 56),
]


@pytest.mark.parametrize(("geometry", "batch"), list(itertools.product(POOLS, [1, 3])))
def test_max_pool_grad(geometry: tuple[Any, ...], batch: int) -> None:
    kernel, stride, padding, dilation, ceil_mode, height, width = geometry
    # Use few distinct values, as after a ReLU: nearly every window has a tie.
    x = F.relu((random(batch, 3, height, width) * 1.5).round()).requires_grad_()
    y = F.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode)
    d_y = random(*y.shape, seed=1)
    backpropagate(y, d_y)

    image, upstream = placeholder("X", numpy(x)), placeholder("dY", numpy(d_y))
    attributes = {
        "kernel_shape": [kernel, kernel],
        "strides": [stride, stride],
        "dilations": [dilation, dilation],
        "pads": [padding] * 4,
        "ceil_mode": int(ceil_mode),
    }
    forward = gradient_node("", "MaxPool", [image], attributes, ["Y", "indices"])
    forward.outputs[0].shape = ir.Shape(["N", *y.shape[1:]])
    backward = gradient_node("", "MaxPoolGrad", [upstream, forward.outputs[1]], attributes, ["dX"])
    feeds = {image: numpy(x), upstream: numpy(d_y)}
    wanted = [forward.outputs[0], backward.outputs[0]]
    found_y, d_x = evaluate([forward, backward], feeds, wanted)
    np.testing.assert_array_equal(found_y, numpy(y))
    assert_close(d_x, numpy(x.grad))
