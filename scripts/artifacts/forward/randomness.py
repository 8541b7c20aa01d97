"""Layers that leave values out at random.

Rule 18: x times random numbers, drawn per image, that are 0 or 1 / keep (torchvision's
    StochasticDepth, timm's DropPath) → DropPath(x; ratio = 1 - keep).

Dropout stays the operator of ONNX.
"""

from __future__ import annotations

import math
from typing import Literal

import onnx_ir as ir

from scripts.artifacts.errors import NetworkError
from scripts.artifacts.forward.draft import Draft, made_by
from scripts.artifacts.forward.folding.fold import RANDOM
from scripts.artifacts.graph_builder import decimal, fixed, static_shape
from scripts.artifacts.network import Mask, Masks


def fuse_stochastic_depth(draft: Draft) -> None:
    """Applies rule 18.

    Raises:
        NetworkError: a random number is used in another way.
    """
    for node in list(draft.graph):
        if node.op_type != "Mul" or node.domain != "":
            continue
        for x, noise in (tuple(node.inputs[:2]), tuple(node.inputs[1::-1])):
            keep = _keep(draft, noise)
            if keep is not None:
                draft.fuse(node.outputs[0], "DropPath", [x], {"ratio": decimal(1 - keep)})
                break


def refuse_other_randomness(draft: Draft) -> None:
    """Refuses what rule 18 did not replace.

    Raises:
        NetworkError: a node draws random numbers.
    """
    for node in draft.graph:
        if node.op_type in RANDOM:
            raise NetworkError(
                "expected Dropout, or stochastic depth that divides by the probability of keeping "
                f"an image, got {node.op_type} ({node.name}); set its probability to 0"
            )


def _keep(draft: Draft, value: ir.Value | None) -> float | None:
    """Returns the probability of keeping an image if ``value`` is noise / keep, per image."""
    division = made_by(value, "Div")
    keep = None if division is None else draft.scalar(division.inputs[1])
    if division is None or keep is None:
        return None
    inner = division.inputs[0]
    while (cast := made_by(inner, "Cast")) is not None:
        inner = cast.inputs[0]
    probability: float | None = None
    drawn = made_by(inner, "Bernoulli")
    if drawn is not None:
        probability = draft.scalar(drawn.inputs[0])
        if probability is None and drawn.inputs[0] is not None:
            probability = _expanded(draft, drawn.inputs[0])
    less = made_by(inner, "Less")
    if less is not None and made_by(less.inputs[0], "RandomUniformLike") is not None:
        probability = draft.scalar(less.inputs[1])
    return keep if probability is not None and abs(probability - keep) < 1e-6 else None


def _expanded(draft: Draft, value: ir.Value) -> float | None:
    """Returns the number that Expand repeats."""
    node = made_by(value, "Expand")
    return None if node is None else draft.scalar(node.inputs[0])


def masks_of(draft: Draft, head: frozenset[str]) -> Masks:
    """Returns the layout of the masks, in the order of the nodes."""
    entries: list[Mask] = []
    offset = 0
    for node in draft.graph:
        kind: Literal["dropout", "stochastic_depth"]
        if node.op_type == "Dropout":
            kind = "dropout"
            width = math.prod(fixed(d) for d in static_shape(node.inputs[0])[1:])
            p = draft.scalar(node.inputs[1]) if len(node.inputs) > 1 else 0.5
        elif node.op_type == "DropPath":
            kind, width, p = "stochastic_depth", 1, node.attributes.get_float("ratio")
        else:
            continue
        part = _part(draft, node, head)
        entries.append(Mask(node.name or "", offset, width, decimal(p or 0.0), kind, part))
        offset += width
    return Masks(tuple(entries), offset)


def _part(draft: Draft, node: ir.Node, head: frozenset[str]) -> Literal["backbone", "head"]:
    """Returns ``backbone`` if a parameter of the backbone is read behind ``node``."""
    reached = set(node.outputs)
    for other in draft.graph:
        if reached.isdisjoint(other.inputs):
            continue
        reached |= set(other.outputs)
        if any(
            v is not None and v.name in draft.state and v.name not in head for v in other.inputs
        ):
            return "backbone"
    return "head"
