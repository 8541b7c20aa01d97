"""Runs the gradient of one operator alone, in float64: recorded, lowered, evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from scripts.artifacts.autodiff import GRADIENTS
from scripts.artifacts.autodiff.tape import Tape
from scripts.reference.evaluator import Array
from scripts.reference.lowering_rule import DOUBLE, assert_close, backpropagate, evaluate, random

Given = torch.Tensor | Array | None
"""A tensor that learns, a constant, or an input that is left out."""


def gradients(
    op_type: str,
    given: Sequence[Given],
    y: torch.Tensor | Sequence[torch.Tensor],
    attributes: Mapping[str, Any] | None = None,
    *,
    domain: str = "",
) -> None:
    """Compares the gradients of all tensors that learn with PyTorch's, for a random dY.

    Args:
        given: the inputs of the operator.
        y: PyTorch's outputs. Tensors [2, *, *, *] are two images.
    """
    results = [y] if isinstance(y, torch.Tensor) else list(y)
    inputs = [_value(f"input_{number}", value) for number, value in enumerate(given)]
    node = ir.node(
        op_type,
        inputs,
        dict(attributes or {}),
        domain=domain,
        num_outputs=len(results),
        name="node",
    )
    upstream = []
    for number, (output, result) in enumerate(zip(node.outputs, results, strict=True)):
        output.name, output.type = f"output_{number}", ir.TensorType(DOUBLE)
        output.shape = ir.Shape(_dims(result))
        d_y = random(*result.shape, seed=number + 10)
        upstream.append(d_y)
    learning = [value for value in inputs if value is not None and value.const_value is None]
    tape = Tape({*learning, *node.outputs})
    seeds = [_value(f"upstream_{number}", d_y) for number, d_y in enumerate(upstream)]
    for output, seed in zip(node.outputs, seeds, strict=True):
        assert seed is not None
        tape.add(output, seed)
    gradient = tape.total(node.outputs[0])
    assert gradient is not None
    GRADIENTS[op_type](tape, node, gradient)
    totals = [tape.total(value) for value in learning]
    backpropagate(sum((r * d).sum() for r, d in zip(results, upstream, strict=True)))  # type: ignore[arg-type]
    tensors = [value for value in given if isinstance(value, torch.Tensor)]
    feeds = {v: t.detach().numpy() for v, t in zip(learning, tensors, strict=True)}
    feeds |= {s: d.numpy() for s, d in zip(seeds, upstream, strict=True) if s is not None}
    constants = [v for v in (*inputs, *tape.constants) if v is not None and v.const_value]
    feeds |= {v: _array(v) for v in constants}
    copies = [ir.node("Identity", [total], name=f"copy_{k}") for k, total in enumerate(totals)]
    for number, copy in enumerate(copies):
        copy.outputs[0].name = f"gradient_of_input_{number}"
    found = evaluate([node, *tape.nodes, *copies], feeds, [copy.outputs[0] for copy in copies])
    for got, tensor in zip(found, tensors, strict=True):
        assert tensor.grad is not None
        assert_close(got, tensor.grad.numpy())


def learning(*shape: int, seed: int = 0) -> torch.Tensor:
    """Returns normal numbers that learn, in float64."""
    return random(*(shape or (1,)), seed=seed).reshape(shape).requires_grad_()


def _dims(tensor: torch.Tensor) -> list[int | str]:
    """Returns the shape; the first dimension of two images is symbolic, as in training."""
    dims: list[int | str] = list(tensor.shape)
    return ["N", *dims[1:]] if tensor.dim() == 4 and dims[0] == 2 else dims


def _value(name: str, value: Given) -> ir.Value | None:
    if value is None:
        return None
    if isinstance(value, torch.Tensor):
        return ir.Value(name=name, shape=ir.Shape(_dims(value)), type=ir.TensorType(DOUBLE))
    tensor = ir.tensor(value, name=name)
    shape, kind = ir.Shape(value.shape), ir.TensorType(tensor.dtype)
    return ir.Value(name=name, shape=shape, type=kind, const_value=tensor)


def _array(value: ir.Value) -> Array:
    assert value.const_value is not None
    return np.asarray(value.const_value.numpy())
