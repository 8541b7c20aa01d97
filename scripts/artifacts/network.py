"""Names and shapes of a network's state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

OUTPUT_PREFIX = "next."
"""Prefix of a state output: the new value of the tensor NAME is called next.NAME."""

MASKS = "masks"
"""Name of the graph input that switches values off at random, see ``Masks``."""

CLASSES = "C"
"""Name of the dimension of the head that is the number of classes."""

Shape = Sequence[int | str]


@dataclass(frozen=True)
class Mask:
    """One layer that leaves values out at random.

    Attributes:
        name: name of its node in the forward graph.
        offset: place of its first number in a row of the masks.
        width: numbers per image: one per value, or a single one for a whole image.
        p: the probability of leaving a value out.
        part: ``head`` if no parameter of the backbone lies between this layer and the logits.
    """

    name: str
    offset: int
    width: int
    p: float
    kind: Literal["dropout", "stochastic_depth"]
    part: Literal["backbone", "head"]


@dataclass(frozen=True)
class Masks:
    """The layout of the input ``masks`` [N, width], whose numbers are 0 or 1 / (1 - p).

    Attributes:
        width: numbers per image; 0 for a network without randomness.
    """

    entries: tuple[Mask, ...] = ()
    width: int = 0


@dataclass(frozen=True)
class Network:
    """Names and shapes of the state, in the publisher's order; ``"C"`` is the class count.

    ``forward.prepare`` reads it from a forward graph.

    Attributes:
        buffers: the running statistics of BatchNorm.
        counters: integers that PyTorch keeps beside the statistics; no graph reads them.
        head: parameters of the last layer, the only ones whose shape depends on the classes.
    """

    parameters: Mapping[str, Shape]
    buffers: Mapping[str, Shape]
    counters: Sequence[str]
    head: frozenset[str]
    input_size: int
    masks: Masks = field(default_factory=Masks)

    def head_only(self) -> Network:
        """Returns the part that a step changes if the backbone is frozen: the head.

        The input ``masks`` keeps its width, but only the layers beside the head read it: the
        backbone is in evaluation mode.
        """
        head = {name: shape for name, shape in self.parameters.items() if name in self.head}
        entries = tuple(entry for entry in self.masks.entries if entry.part == "head")
        masks = replace(self.masks, entries=entries)
        return replace(self, parameters=head, buffers={}, counters=[], masks=masks)

    def state(self) -> dict[str, Shape]:
        """Returns all that a step changes: parameters, their momentum, BatchNorm statistics."""
        momentum = {f"momentum.{name}": shape for name, shape in self.parameters.items()}
        return {**self.parameters, **momentum, **self.buffers}
