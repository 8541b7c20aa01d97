"""Sums over products of two tensors, written with letters.

Rule 21: Einsum of two operands whose leading letters are those of the result, and which then have
    two letters each, one in common → MatMul, with the last two axes exchanged where needed.
"""

from __future__ import annotations

from itertools import product

import onnx_ir as ir

from scripts.artifacts.forward.draft import Draft
from scripts.artifacts.graph_builder import static_shape


def write_einsums_as_products(draft: Draft) -> None:
    """Applies rule 21; another Einsum stays, and has no gradient."""
    for node in list(draft.graph):
        if node.op_type != "Einsum" or node.domain != "" or len(node.inputs) != 2:
            continue
        swaps = _exchanges(node.attributes.get_string("equation", "").replace(" ", ""))
        if swaps is None:
            continue
        operands = [
            _exchanged(draft, node, position) if swap else node.inputs[position]
            for position, swap in enumerate(swaps)
        ]
        draft.fuse(node.outputs[0], "MatMul", operands, domain="")


def _exchanges(equation: str) -> tuple[bool, ...] | None:
    """Returns for each operand whether its last two letters change places; None if no way helps.

    A product of matrices is (…ik, …kj → …ij).
    """
    inputs, _, result = equation.partition("->")
    first, _, second = inputs.partition(",")
    if "." in equation or min(len(first), len(second), len(result)) < 2:
        return None
    for swaps in product((False, True), repeat=2):
        a, b = (
            text[:-2] + text[:-3:-1] if swap else text
            for text, swap in zip((first, second), swaps, strict=True)
        )
        if a[:-2] == b[:-2] == result[:-2] and a[-1] == b[-2] and a[-2] + b[-1] == result[-2:]:
            return swaps
    return None


def _exchanged(draft: Draft, node: ir.Node, position: int) -> ir.Value:
    value = node.inputs[position]
    rank = len(static_shape(value))
    perm = [*range(rank - 2), rank - 1, rank - 2]
    name = f"{node.name}/Transpose_{position}"
    return draft.insert(node, "Transpose", [value], {"perm": perm}, name=name)
