"""Compares each lowering rule alone with PyTorch's autograd in float64."""

from __future__ import annotations

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
from scripts.tests.artifacts.lowering.test_activation import FORWARD, GRADIENTS

TESTED = {
    # Here
    *((MS, name) for name in ("BatchNormInternal", "BatchNormalizationGrad", "Scale")),
    *(("", "SoftmaxCrossEntropyLoss"), (MS, "SoftmaxCrossEntropyLossGrad"), ("train", "Mean")),
    *(("train", name) for name in ("LayerNormalizationGrad", "SoftmaxGrad", "TableGrad")),
    # test_convolution.py and test_depthwise.py
    *(("", "Conv"), (MS, "ConvGrad")),
    # test_activation.py
    *((domain, op_type) for domain, op_type, _ in GRADIENTS.values()),
    *((domain, op_type) for op_type, (domain, *_) in FORWARD.items()),
    ("train", "PReluGrad"),
    # test_pooling.py
    *(("", name) for name in ("AveragePool", "MaxPool", "MaxPoolGrad")),
    ("train", "AveragePoolGrad"),
    # test_randomness.py
    *(("", "Dropout"), ("train", "DropPath"), ("train", "MaskGrad")),
}


def test_every_rule_has_a_test() -> None:
    assert set(RULES) == TESTED


def test_an_operator_without_a_rule_is_refused() -> None:
    x = placeholder("x", np.zeros((1, 1)))
    with pytest.raises(NotImplementedError, match=r"com\.microsoft\.GeluGrad .*add a rule"):
        lower(builder_with(x), [gradient_node(MS, "GeluGrad", [x], {}, ["y"])])


@pytest.mark.parametrize(("down", "factor"), [(1, 1 / 49), (0, 49.0)])
def test_scale(down: int, factor: float) -> None:
    x, s = numpy(random(3, 2)), np.array([49.0])
    inputs = [placeholder("x", x), placeholder("s", s)]
    node = gradient_node(MS, "Scale", inputs, {"scale_down": down}, ["y"])
    (y,) = evaluate([node], dict(zip(inputs, [x, s], strict=True)), node.outputs)
    assert_close(y, x * factor)


@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (2, 3)])
def test_gradient_of_a_mean(shape: tuple[int, ...]) -> None:
    d_y = numpy(random(*shape))
    upstream = placeholder("dY", d_y)
    node = gradient_node("train", "Mean", [upstream], {"count": 49}, ["dX"])
    node.outputs[0].shape = upstream.shape
    (d_x,) = evaluate([node], {upstream: d_y}, node.outputs)
    np.testing.assert_array_equal(d_x, d_y / 49)


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


@pytest.mark.parametrize("shape", [(1, 2, 5, 3), (3, 4, 7, 7), (4, 1, 1, 1), (2, 3, 50, 41)])
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


@pytest.mark.parametrize("shape", [(2, 7, 12), (3, 12), (2, 3, 4, 12)])
@pytest.mark.parametrize("epsilon", [1e-5, 1e-6])
def test_layer_norm(shape: tuple[int, ...], epsilon: float) -> None:
    x = (random(*shape) * 2 + 3).requires_grad_()
    gamma, beta = random(12, seed=1).requires_grad_(), random(12, seed=2).requires_grad_()
    y = F.layer_norm(x, (12,), gamma, beta, epsilon)
    d_y = random(*shape, seed=3)
    backpropagate(y, d_y)
    arrays = [numpy(t) for t in (d_y, x, gamma, beta)]
    upstream, *values = (
        placeholder(name, a) for name, a in zip(("dY", "X", "gamma", "beta"), arrays, strict=True)
    )
    attributes = {"axis": -1, "epsilon": epsilon}
    forward = gradient_node("", "LayerNormalization", values, attributes, ["Y"])
    backward = gradient_node(
        "train",
        "LayerNormalizationGrad",
        [upstream, *values[:2]],
        attributes,
        ["dX", "dgamma", "dbeta"],
    )
    feeds = dict(zip([upstream, *values], arrays, strict=True))
    found = evaluate([forward, backward], feeds, [*forward.outputs, *backward.outputs])
    for got, want in zip(found, (y, x.grad, gamma.grad, beta.grad), strict=True):
        assert_close(got, numpy(want))


@pytest.mark.parametrize("axis", [-1, 1])
def test_softmax_grad(axis: int) -> None:
    x = (random(2, 3, 5, 5) * 4).requires_grad_()
    y = x.softmax(axis)
    d_y = random(*y.shape, seed=3)
    backpropagate(y, d_y)
    values = [placeholder("dY", numpy(d_y)), placeholder("Y", numpy(y))]
    node = gradient_node("train", "SoftmaxGrad", values, {"axis": axis}, ["dX"])
    feeds = dict(zip(values, [numpy(d_y), numpy(y)], strict=True))
    (d_x,) = evaluate([node], feeds, node.outputs)
    assert_close(d_x, numpy(x.grad))


def test_table_grad() -> None:
    """Gathers rows of a table by constant indices, some often and some never."""
    table = random(6, 4).requires_grad_()
    index = [0, 2, 2, 5, 0, 2, 3]
    d_y = random(7, 4, seed=1)
    backpropagate(table[index], d_y)
    upstream = placeholder("dY", numpy(d_y))
    attributes = {"index": index, "size": 6, "width": 4}
    node = gradient_node("train", "TableGrad", [upstream], attributes, ["dT"])
    node.outputs[0].shape = ir.Shape([6, 4])
    (found,) = evaluate([node], {upstream: numpy(d_y)}, node.outputs)
    assert_close(found, numpy(table.grad))
