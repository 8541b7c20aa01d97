"""Each arithmetic operator's gradient against PyTorch's autograd, in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from scripts.reference.gradient_rule import gradients, learning

SHAPES = [
    ((2, 3, 4, 5), (2, 3, 4, 5)),
    ((2, 3, 4, 5), (3, 1, 1)),
    ((2, 3, 4, 5), (1, 3, 1, 5)),
    ((3, 4, 5), (5,)),
    ((1, 4, 5), (3, 1, 5)),
    ((2, 3, 4, 5), ()),
]

BINARY: list[tuple[str, Callable[..., torch.Tensor]]] = [
    ("Add", torch.add),
    ("Sum", torch.add),
    ("Sub", torch.sub),
    ("Mul", torch.mul),
    ("Div", torch.div),
    ("Max", torch.maximum),
    ("Min", torch.minimum),
]


@pytest.mark.parametrize(("first", "second"), SHAPES)
@pytest.mark.parametrize(("op_type", "function"), BINARY)
def test_an_operand_that_is_repeated_takes_the_sum(
    op_type: str,
    function: Callable[..., torch.Tensor],
    first: tuple[int, ...],
    second: tuple[int, ...],
) -> None:
    a, b = learning(*first), learning(*second, seed=1)
    gradients(op_type, [a, b], function(a, b))


def test_a_constant_operand_takes_none() -> None:
    x, bound = learning(2, 3, 4, 5), np.array(0.25)
    gradients("Max", [x, bound], torch.clamp(x, min=0.25))
    x = learning(2, 3, 4, 5)
    gradients("Div", [np.array(2.0), x], 2 / x)


POSITIVE: list[tuple[str, Callable[[torch.Tensor], torch.Tensor]]] = [
    ("Sqrt", torch.sqrt),
    ("Log", torch.log),
    ("Reciprocal", torch.reciprocal),
    ("Exp", torch.exp),
    ("Neg", torch.neg),
]


@pytest.mark.parametrize(("op_type", "function"), POSITIVE)
def test_function_of_one_value(
    op_type: str, function: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    x = (learning(3, 4).detach().abs() + 0.1).requires_grad_()
    gradients(op_type, [x], function(x))


@pytest.mark.parametrize("exponent", [2.0, 3.0, -0.5])
def test_power_with_a_constant_exponent(exponent: float) -> None:
    x = (learning(3, 4).detach().abs() + 0.1).requires_grad_()
    gradients("Pow", [x, np.array(exponent)], x**exponent)


def test_power_whose_exponent_learns() -> None:
    x = (learning(2, 3, 4, 5).detach().abs() + 0.1).requires_grad_()
    p = torch.tensor([1.5], dtype=torch.double, requires_grad=True)
    gradients("Pow", [x, p], x**p)


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("bias", [None, (6,), (1, 6), ()])
def test_gemm(transposed: int, bias: tuple[int, ...] | None) -> None:
    a, b = learning(3, 4), learning(*((6, 4) if transposed else (4, 6)), seed=1)
    c = None if bias is None else learning(*bias, seed=2)
    y = a @ (b.T if transposed else b)
    inputs = [a, b] if c is None else [a, b, c]
    gradients("Gemm", inputs, y if c is None else y + c, {"transB": transposed})


MATRICES = [
    ((3, 4), (4, 5)),
    ((2, 3, 4), (4, 5)),
    ((2, 6, 3, 4), (4, 5)),
    ((2, 6, 3, 4), (2, 6, 4, 5)),
    ((2, 6, 3, 4), (6, 4, 5)),
    ((3, 4), (6, 4, 5)),
    ((1, 3, 4), (6, 4, 5)),
]


@pytest.mark.parametrize(("first", "second"), MATRICES)
def test_matmul(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    a, b = learning(*first), learning(*second, seed=1)
    gradients("MatMul", [a, b], a @ b)


REDUCTIONS: list[tuple[str, Callable[..., torch.Tensor]]] = [
    ("ReduceMean", torch.mean),
    ("ReduceL2", torch.linalg.vector_norm),
]


@pytest.mark.parametrize(("axes", "keep"), [([2, 3], 1), ([-1], 0), ([2, 3], 0), ([1], 1)])
@pytest.mark.parametrize(("op_type", "function"), REDUCTIONS)
def test_reduction_with_axes_as_attribute(
    op_type: str, function: Callable[..., torch.Tensor], axes: list[int], keep: int
) -> None:
    x = learning(2, 3, 4, 5)
    y = function(x, dim=axes, keepdim=bool(keep))
    gradients(op_type, [x], y, {"axes": axes, "keepdims": keep})


@pytest.mark.parametrize(("axes", "keep"), [([2, 3], 1), ([-1], 0), ([1], 1)])
def test_reduce_sum_with_axes_as_input(axes: list[int], keep: int) -> None:
    x = learning(2, 3, 4, 5)
    y = x.sum(dim=axes, keepdim=bool(keep))
    gradients("ReduceSum", [x, np.array(axes)], y, {"keepdims": keep})
