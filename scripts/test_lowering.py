"""Each lowering rule alone against PyTorch autograd in float64."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
import torch.nn.functional as F

from scripts.graph_builder import GraphBuilder
from scripts.lowering import RULES, lower, winograd
from scripts.lowering.convolution_geometry import Convolution
from scripts.reference import Array
from scripts.rule_harness import evaluate, gradient_node, placeholder

MS = "com.microsoft"


def assert_close(found: Array, expected: Array, rtol: float = 1e-10, atol: float = 1e-11) -> None:
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)


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


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.double, generator=torch.Generator().manual_seed(seed))


def numpy(tensor: torch.Tensor | None) -> Array:
    assert tensor is not None
    return tensor.detach().numpy()


def backpropagate(y: torch.Tensor, d_y: torch.Tensor | None = None) -> None:
    y.backward(d_y)  # type: ignore[no-untyped-call]


def test_every_rule_has_a_test() -> None:
    assert set(RULES) == TESTED


def test_an_operator_without_a_rule_is_refused() -> None:
    x = placeholder("x", np.zeros((1, 1)))
    with pytest.raises(NotImplementedError, match=r"com\.microsoft\.GeluGrad .*add a rule"):
        lower(_builder_with(x), [gradient_node(MS, "GeluGrad", [x], {}, ["y"])])


def _builder_with(value: ir.Value) -> GraphBuilder:
    op = GraphBuilder()
    op.values = {value: value}
    return op


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
    """Class weights and label smoothing are only other targets: PyTorch's loss and gradient."""
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


CONVOLUTIONS = [
    # kernel, stride, padding, dilation, groups, in channels, out channels, height, width
    (3, 1, 1, 1, 1, 5, 4, 7, 9),
    (3, 2, 1, 1, 1, 5, 4, 7, 8),
    (3, 2, 1, 1, 1, 5, 4, 8, 7),
    (1, 1, 0, 1, 1, 6, 2, 5, 5),
    (1, 2, 0, 1, 1, 6, 2, 5, 6),
    (7, 2, 3, 1, 1, 3, 4, 13, 16),
    (3, 1, 0, 1, 1, 5, 2, 6, 5),
    (3, 1, 2, 2, 1, 5, 2, 6, 9),
    (3, 2, 2, 2, 1, 3, 2, 9, 10),
    (3, 1, 3, 1, 1, 5, 2, 4, 4),
    (3, 1, 1, 1, 2, 6, 4, 20, 21),
    (3, 1, 1, 1, 1, 5, 4, 21, 20),
    (1, 1, 0, 1, 1, 5, 4, 21, 20),
    (3, 1, 2, 2, 1, 5, 2, 21, 20),
    (3, 2, 1, 1, 3, 6, 3, 6, 5),
    (5, 3, 2, 1, 1, 5, 2, 11, 12),
    ((3, 1), (2, 1), (1, 0), 1, 1, 5, 2, 7, 4),
    ((1, 5), (1, 3), (0, 2), (1, 1), 1, 2, 3, 4, 11),
]


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("geometry", CONVOLUTIONS)
def test_conv_grad(geometry: tuple[Any, ...], batch: int, bias: bool) -> None:
    kernel, stride, padding, dilation = (_pair(v) for v in geometry[:4])
    groups, channels, out_channels, height, width = geometry[4:]
    x = random(batch, channels, height, width).requires_grad_()
    weight = random(out_channels, channels // groups, *kernel, seed=1).requires_grad_()
    offset = torch.zeros(out_channels, dtype=torch.double, requires_grad=True)
    y = F.conv2d(x, weight, offset, stride, padding, dilation, groups)
    d_y = random(*y.shape, seed=2)
    backpropagate(y, d_y)

    arrays = [numpy(t) for t in (d_y, x, weight)]
    values = [
        placeholder("dY", arrays[0]),
        placeholder("X", arrays[1]),
        placeholder("W", arrays[2], symbolic_batch=False),
    ]
    attributes = {
        "kernel_shape": kernel,
        "strides": stride,
        "dilations": dilation,
        "pads": [*padding, *padding],
        "group": groups,
        "auto_pad": "NOTSET",
    }
    outputs = ["dX", "dW", "dB"] if bias else ["dX", "dW"]
    node = gradient_node(MS, "ConvGrad", values, attributes, outputs)
    feeds = dict(zip(values, arrays, strict=True))
    found = evaluate([node], feeds, node.outputs)
    expected = [x.grad, weight.grad, offset.grad][: len(outputs)]
    for got, want in zip(found, expected, strict=True):
        assert_close(got, numpy(want))


def test_conv_grad_leaves_out_what_nobody_reads() -> None:
    """The first convolution's dX is the gradient of the images: not computed."""
    arrays = [np.ones((1, 2, 2, 2)), np.ones((1, 3, 4, 4)), np.ones((2, 3, 3, 3))]
    values = [placeholder(name, a) for name, a in zip(("dY", "X", "W"), arrays, strict=True)]
    values[2].shape = ir.Shape(arrays[2].shape)
    node = gradient_node(MS, "ConvGrad", values, {"kernel_shape": [3, 3]}, ["", "dW"])
    (d_w,) = evaluate([node], dict(zip(values, arrays, strict=True)), [node.outputs[1]])
    np.testing.assert_allclose(d_w, np.full((2, 3, 3, 3), 4.0))


def test_conv_grad_refuses_automatic_padding() -> None:
    values = [placeholder(n, np.ones((1, 1, 3, 3)), False) for n in ("dY", "X", "W")]
    node = gradient_node(MS, "ConvGrad", values, {"auto_pad": "SAME_UPPER"}, ["dX", "dW"])
    with pytest.raises(NotImplementedError, match="expected explicit pads"):
        evaluate([node], {v: np.ones((1, 1, 3, 3)) for v in values}, node.outputs)


FILTERED = [
    # in channels, out channels, height, width, pads
    (3, 2, 7, 7, (1, 1, 1, 1)),
    (2, 3, 8, 5, (1, 1, 1, 1)),
    (2, 3, 13, 14, (1, 1, 1, 1)),
    (3, 2, 10, 9, (0, 2, 1, 0)),
    (1, 1, 3, 3, (0, 0, 0, 0)),
]


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("geometry", FILTERED)
def test_minimal_filtering(
    geometry: tuple[int, int, int, int, tuple[int, ...]],
    batch: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Y, dX and dW of a convolution whose lowering is Winograd's, whatever it would cost."""
    monkeypatch.setattr(winograd, "suits", lambda conv: True)
    channels, out_channels, height, width, pads = geometry
    x = random(batch, channels, height, width).requires_grad_()
    weight = random(out_channels, channels, 3, 3, seed=1).requires_grad_()
    top, left, bottom, right = pads
    y = F.conv2d(F.pad(x, (left, right, top, bottom)), weight)
    d_y = random(*y.shape, seed=2)
    backpropagate(y, d_y)

    values = [placeholder("X", numpy(x)), placeholder("W", numpy(weight), symbolic_batch=False)]
    upstream = placeholder("dY", numpy(d_y))
    attributes = {"kernel_shape": [3, 3], "pads": pads}
    forward = gradient_node("", "Conv", values, attributes, ["Y"])
    backward = gradient_node(MS, "ConvGrad", [upstream, *values], attributes, ["dX", "dW"])
    feeds = {values[0]: numpy(x), values[1]: numpy(weight), upstream: numpy(d_y)}
    found = evaluate([forward, backward], feeds, [*forward.outputs, *backward.outputs])
    for got, want in zip(found, [y, x.grad, weight.grad], strict=True):
        assert_close(got, numpy(want))


@pytest.mark.parametrize(
    ("channels", "size", "attributes", "suits"),
    [
        (512, 7, {"pads": [1, 1, 1, 1]}, True),
        (256, 14, {"pads": [1, 1, 1, 1]}, True),
        (64, 56, {"pads": [1, 1, 1, 1]}, False),
        (4, 7, {"pads": [1, 1, 1, 1]}, False),
        (256, 14, {"pads": [1, 1, 1, 1], "strides": [2, 2]}, False),
        (256, 14, {"pads": [2, 2, 2, 2], "dilations": [2, 2]}, False),
        (256, 14, {"pads": [3, 3, 3, 3]}, False),
    ],
)
def test_where_minimal_filtering_pays(
    channels: int, size: int, attributes: dict[str, list[int]], suits: bool
) -> None:
    x = placeholder("X", np.empty((1, channels, size, size)))
    weight = placeholder("W", np.empty((channels, channels, 3, 3)), symbolic_batch=False)
    node = gradient_node("", "Conv", [x, weight], attributes, ["Y"])
    assert winograd.suits(Convolution.of(node, x, weight)) is suits


@pytest.mark.parametrize(("large_nodes", "expected"), [(False, "MatMul"), (True, "Conv")])
def test_large_nodes_keep_the_convolution(large_nodes: bool, expected: str) -> None:
    x = placeholder("X", np.empty((1, 256, 14, 14)))
    weight = placeholder("W", np.empty((256, 256, 3, 3)), symbolic_batch=False)
    op = GraphBuilder(large_nodes=large_nodes)
    op.values = {x: x, weight: weight}
    lower(op, [gradient_node("", "Conv", [x, weight], {"pads": [1, 1, 1, 1]}, ["Y"])])
    assert expected in [node.op_type for node in op.nodes]


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
    # Few distinct values, as after a ReLU: nearly every window has a tie.
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
