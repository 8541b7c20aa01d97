"""Activations that exporters write out in several nodes.

Rule 8: x Sigmoid(x) → Swish(x).
Rule 9: x (1 + Erf(x / sqrt 2)) / 2, in any order of the factors → Gelu(x); ONNX's Gelu as well.
Rule 10: x HardSigmoid(x; 1/6, 1/2), x Clip(x + 3, 0, 6) / 6 → HardSwish(x); Clip(x + 3, 0, 6) / 6 →
    HardSigmoid(x; 1/6, 1/2).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import onnx_ir as ir

from scripts.artifacts.forward.draft import Draft, made_by

TOLERANCE = 1e-5
"""Relative error of a constant that an exporter rounded."""


def fuse_activations(draft: Draft) -> None:
    """Applies rules 8 to 10."""
    for node in list(draft.graph):
        if node.domain == "" and node.op_type in ("Mul", "Div") and node.graph is not None:
            _hard_sigmoid(draft, node)
    for node in list(draft.graph):
        if node.domain == "" and node.op_type == "Gelu":
            if node.attributes.get_string("approximate", "none") == "none":
                draft.fuse(node.outputs[0], "Gelu", [node.inputs[0]])
        elif node.domain == "" and node.op_type in ("Mul", "Div"):
            _product(draft, node)


def _product(draft: Draft, node: ir.Node) -> None:
    """Applies rules 8 and 9, and rule 10's HardSwish, to a product."""
    output = node.outputs[0]
    gelu = _gelu(draft, output)
    if gelu is not None:
        draft.fuse(output, "Gelu", [gelu])
        return
    for x, other in _orders(node):
        sigmoid, hard = made_by(other, "Sigmoid"), made_by(other, "HardSigmoid")
        if sigmoid is not None and sigmoid.inputs[0] is x:
            draft.fuse(output, "Swish", [x])
            return
        if hard is not None and hard.inputs[0] is x and _is_sixth(hard):
            draft.fuse(output, "HardSwish", [x], domain="")
            return
    source = _sixth_of_clip(draft, node)
    if source is not None:
        draft.fuse(output, "HardSwish", [source], domain="")


def _hard_sigmoid(draft: Draft, node: ir.Node) -> None:
    """Applies rule 10 to Clip(x + 3, 0, 6) / 6."""
    for value, factor in _scaled(draft, node):
        x = _shifted_clip(draft, value)
        if x is not None and _near(factor, 1 / 6):
            attributes = {"alpha": 1 / 6, "beta": 0.5}
            draft.fuse(node.outputs[0], "HardSigmoid", [x], attributes, "")
            return


def _sixth_of_clip(draft: Draft, node: ir.Node) -> ir.Value | None:
    """Returns x of (x Clip(x + 3, 0, 6)) / 6."""
    for value, factor in _scaled(draft, node):
        product = made_by(value, "Mul")
        if product is None or not _near(factor, 1 / 6):
            continue
        for x, other in _orders(product):
            if x is not None and _shifted_clip(draft, other) is x:
                return x
    return None


def _shifted_clip(draft: Draft, value: ir.Value | None) -> ir.Value | None:
    """Returns x of Clip(x + 3, 0, 6)."""
    clip = made_by(value, "Clip")
    if clip is None or len(clip.inputs) < 3:
        return None
    bounds = [draft.scalar(bound) for bound in clip.inputs[1:3]]
    total = made_by(clip.inputs[0], "Add")
    if bounds != [0.0, 6.0] or total is None:
        return None
    return next((x for x, other in _orders(total) if draft.scalar(other) == 3.0), None)


def _gelu(draft: Draft, value: ir.Value) -> ir.Value | None:
    """Returns x if the product's factors are 1/2, x and 1 + Erf(x / sqrt 2)."""
    factors, constant = [], 1.0
    for factor in _factors(draft, value):
        number = draft.scalar(factor)
        if number is None:
            factors.append(factor)
        else:
            constant *= number
    node = value.producer()
    if node is not None and node.op_type == "Div":
        divisor = draft.scalar(node.inputs[1])
        constant /= divisor if divisor else math.inf
    if len(factors) != 2 or not _near(constant, 0.5):
        return None
    for x, other in ((factors[0], factors[1]), (factors[1], factors[0])):
        total = made_by(other, "Add")
        if total is None:
            continue
        for erf_value, one in _orders(total):
            erf = made_by(erf_value, "Erf")
            if erf is None or draft.scalar(one) != 1.0:
                continue
            inner = erf.inputs[0].producer() if erf.inputs[0] is not None else None
            scaled = [] if inner is None else _scaled(draft, inner)
            if any(v is x and _near(f, math.sqrt(0.5)) for v, f in scaled):
                return x
    return None


def _factors(draft: Draft, value: ir.Value | None) -> Iterator[ir.Value]:
    """Yields the factors of a product of at most three, through Mul and Div by a constant."""
    node = None if value is None else value.producer()
    if node is None or node.op_type not in ("Mul", "Div"):
        return
    read = node.inputs[:1] if node.op_type == "Div" else node.inputs
    for factor in read:
        inner = made_by(factor, "Mul")
        if inner is not None:
            yield from (f for f in inner.inputs if f is not None)
        elif factor is not None:
            yield factor


def _scaled(draft: Draft, node: ir.Node) -> list[tuple[ir.Value | None, float]]:
    """Returns x and c if the node computes c x."""
    if node.op_type == "Div":
        divisor = draft.scalar(node.inputs[1])
        return [(node.inputs[0], 1 / divisor)] if divisor else []
    if node.op_type != "Mul":
        return []
    numbers = [(x, draft.scalar(other)) for x, other in _orders(node)]
    return [(x, number) for x, number in numbers if number is not None]


def _orders(node: ir.Node) -> tuple[tuple[ir.Value | None, ir.Value | None], ...]:
    first, second = node.inputs[:2]
    return ((first, second), (second, first))


def _is_sixth(node: ir.Node) -> bool:
    alpha, beta = node.attributes.get_float("alpha", 0.2), node.attributes.get_float("beta", 0.5)
    return _near(alpha, 1 / 6) and _near(beta, 0.5)


def _near(value: float, expected: float) -> bool:
    return abs(value - expected) <= TOLERANCE * abs(expected)
