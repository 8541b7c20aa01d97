"""Dropout and stochastic depth in PyTorch, with masks that are given instead of drawn.

The driver draws the masks of its steps. PyTorch takes them here, so that both programs compute the
same function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

Entry = Mapping[str, Any]
"""One layer of the manifest's ``masks``: offset, width and p."""


@dataclass(frozen=True)
class Masks:
    """Masks [N, D] of one batch, and the layers that take them in the order of the forward pass."""

    values: torch.Tensor
    entries: Sequence[Entry]


def random_masks(layout: Mapping[str, Any] | None, batch: int, seed: int) -> Masks | None:
    """Draws the masks of one batch: 0 with probability p, 1 / (1 - p) otherwise, in float32.

    Args:
        layout: the manifest's ``masks``; None for a network without random layers.
    """
    if layout is None:
        return None
    generator = torch.Generator().manual_seed(seed)
    values = torch.zeros(batch, layout["width"])
    for entry in layout["entries"]:
        kept = torch.rand(batch, entry["width"], generator=generator) >= entry["p"]
        values[:, _columns(entry)] = kept / (1 - entry["p"])
    return Masks(values, layout["entries"])


def _columns(entry: Entry) -> slice:
    return slice(entry["offset"], entry["offset"] + entry["width"])


@contextmanager
def given_masks(masks: Masks | None) -> Iterator[None]:
    """Lets every random layer of one forward pass in training mode take its given mask.

    Args:
        masks: None for a network without random layers.

    Raises:
        ValueError: the layers are not those of the masks.
    """
    if masks is None:
        yield
        return
    mode = _GivenMasks(masks)
    with mode:
        yield
    mode.require_all_taken()


class _GivenMasks(TorchFunctionMode):
    """Replaces the two functions that draw.

    ``F.dropout`` multiplies by it. torchvision and timm write stochastic depth as
    ``noise.bernoulli_(1 - p)`` and divide by 1 - p themselves; the noise becomes 1 where the mask
    is not 0.
    """

    def __init__(self, masks: Masks) -> None:
        super().__init__()
        self._values = masks.values
        self._left = [entry for entry in masks.entries if entry["p"] > 0]

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Replaces the two functions; calls every other one."""
        named = dict(kwargs or {})
        if function is F.dropout and named.get("training", True) and named.get("p", 0.5) > 0:
            x = args[0]
            return x * self._next(x, named.get("p", 0.5)).reshape(x.shape)
        if function is torch.Tensor.bernoulli_:
            noise, keep = args
            return noise.copy_((self._next(noise, 1 - keep) != 0).reshape(noise.shape))
        return function(*args, **named)

    def _next(self, x: torch.Tensor, p: float) -> torch.Tensor:
        if not self._left:
            raise ValueError(f"expected no further random layer, got one with p = {p}")
        entry = self._left.pop(0)
        if abs(entry["p"] - p) > 1e-6 or x[0].numel() != entry["width"]:
            raise ValueError(f"expected {dict(entry)}, got p = {p} on {list(x.shape)}")
        return self._values[:, _columns(entry)].to(x.dtype)

    def require_all_taken(self) -> None:
        """Raises ValueError if a mask was not taken."""
        if self._left:
            raise ValueError(f"expected {len(self._left)} further random layers, got none")
