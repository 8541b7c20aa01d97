"""How a network's publisher initialises each tensor, read off the construction of the module.

A constructor draws its tensors with ``torch.nn.init`` or with methods of tensors. Both end in a few
ATen operators, which a dispatch mode sees. So no table of layers or publishers is needed: what is
recorded for a tensor is the distribution of the last draw into its memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import timm.layers.weight_init
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from scripts.artifacts.errors import NetworkError


@dataclass(frozen=True)
class Distribution:
    """The distribution of one tensor's independent elements.

    Attributes:
        kind: ``constant`` (value ``mean``), ``normal``, ``uniform`` (from low to high) or
            ``truncated_normal``: normal numbers outside [low, high] are drawn again.
    """

    kind: str
    mean: float = 0.0
    std: float = 0.0
    low: float = -math.inf
    high: float = math.inf

    def scaled(self, factor: float) -> Distribution:
        """Returns the distribution of the elements times ``factor``."""
        low, high = sorted((self.low * factor, self.high * factor))
        return replace(
            self, mean=self.mean * factor, std=self.std * abs(factor), low=low, high=high
        )

    def shifted(self, offset: float) -> Distribution:
        """Returns the distribution of the elements plus ``offset``."""
        return replace(
            self, mean=self.mean + offset, low=self.low + offset, high=self.high + offset
        )

    def entry(self) -> dict[str, object]:
        """Returns the manifest's entry."""
        fields = {
            "constant": {"value": self.mean},
            "normal": {"mean": self.mean, "std": self.std},
            "uniform": {"low": self.low, "high": self.high},
            "truncated_normal": {
                "mean": self.mean,
                "std": self.std,
                "low": self.low,
                "high": self.high,
            },
        }
        return {"kind": self.kind, **fields[self.kind]}


def constant(value: float) -> Distribution:
    """Returns the distribution of a tensor that is ``value`` everywhere."""
    return Distribution("constant", mean=value)


def uniform(low: float, high: float) -> Distribution:
    """Returns the uniform distribution from ``low`` to ``high``."""
    return Distribution("uniform", low=low, high=high)


def _fresh(name: str, arguments: list[Any]) -> Distribution | None:
    """Returns what an operator that ignores its tensor's old content fills it with."""
    numbers = [float(a) for a in arguments if isinstance(a, (int, float))]
    match name:
        case "normal_":
            mean, std = (*numbers, *(0.0, 1.0)[len(numbers) :])
            return Distribution("normal", mean, std)
        case "uniform_":
            low, high = (*numbers, *(0.0, 1.0)[len(numbers) :])
            return uniform(low, high)
        case "fill_" | "full":
            return constant(numbers[0]) if numbers else None
        case "zero_" | "zeros" | "zeros_like":
            return constant(0.0)
        case "ones" | "ones_like":
            return constant(1.0)
        case "randn" | "randn_like":
            return Distribution("normal", 0.0, 1.0)
        case "rand" | "rand_like":
            return uniform(0.0, 1.0)
    return None


_CHANGES: dict[str, Callable[[Distribution, float], Distribution]] = {
    "mul": lambda d, factor: d.scaled(factor),
    "div": lambda d, factor: d.scaled(1 / factor),
    "add": lambda d, offset: d.shifted(offset),
    "sub": lambda d, offset: d.shifted(-offset),
}
"""Operators with a number that turn a known distribution into another."""


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the distribution of every tensor that is made inside the block."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._found: dict[int, Distribution | None] = {}
        self._paused = False
        self._kept: list[torch.Tensor] = []

    def of(self, tensor: torch.Tensor) -> Distribution | None:
        """Returns the distribution of a tensor; None if it is not known."""
        return self._found.get(_memory(tensor))

    def set(self, tensor: torch.Tensor, distribution: Distribution | None) -> None:
        """Notes the distribution of a whole tensor; a part of one makes the whole unknown."""
        whole = tensor.numel() == tensor.untyped_storage().nbytes() // tensor.element_size()
        known = whole or self.of(tensor) == distribution
        self._found[_memory(tensor)] = distribution if known else None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Records nothing inside the block."""
        before, self._paused = self._paused, True
        yield
        self._paused = before

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Runs the operator and notes what became of its tensors."""
        result = func(*args, **(kwargs or {}))
        if self._paused or not isinstance(result, torch.Tensor):
            return result
        name: str = func._schema.name.removeprefix("aten::")
        numbers = [*args, *(v for k, v in (kwargs or {}).items() if k in ("mean", "std"))]
        source = args[0] if args and isinstance(args[0], torch.Tensor) else None
        if source is not None and _memory(source) == _memory(result) and not name.endswith("_"):
            return result  # a view
        rest = numbers[1:] if source is not None or name == "full" else []
        self._kept.append(result)
        self.set(result, self._after(name, source, rest))
        return result

    def _after(
        self, name: str, source: torch.Tensor | None, rest: list[Any]
    ) -> Distribution | None:
        fresh = _fresh(name, rest)
        before = None if source is None else self.of(source)
        if fresh is not None:
            return fresh
        if name in ("clone", "detach", "_to_copy"):
            return before
        if name == "copy_":
            return self.of(rest[0])
        change = _CHANGES.get(name.removesuffix("_"))
        if before is None or change is None or not isinstance(rest[0], (int, float)):
            return None
        return change(before, float(rest[0]))


def _memory(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage().data_ptr())


def _truncated(recorder: Recorder, draw: Callable[..., torch.Tensor]) -> Callable[..., Any]:
    """Returns ``draw``, PyTorch's or timm's truncated normal, with its result recorded."""

    def drawn(
        tensor: torch.Tensor, mean: float, std: float, a: float, b: float, **rest: Any
    ) -> torch.Tensor:
        with recorder.paused():
            result = draw(tensor, mean, std, a, b, **rest)
        recorder.set(tensor, Distribution("truncated_normal", mean, std, a, b))
        return result

    return drawn


@contextmanager
def recording() -> Iterator[Recorder]:
    """Records the distributions of all tensors that are made inside the block."""
    recorder = Recorder()
    with ExitStack() as stack:
        for module, name in (
            (torch.nn.init, "_no_grad_trunc_normal_"),
            (timm.layers.weight_init, "_trunc_normal_"),
        ):
            wrapped = _truncated(recorder, getattr(module, name))
            stack.enter_context(mock.patch.object(module, name, wrapped))
        stack.enter_context(recorder)
        yield recorder


def initializers(build: Callable[[], nn.Module], names: Iterable[str]) -> dict[str, Distribution]:
    """Returns how a network's constructor initialises the tensors of these names.

    Raises:
        NetworkError: the constructor computes one of them in another way.
    """
    with recording() as recorder:
        state = build().state_dict()
    found: dict[str, Distribution] = {}
    for name in names:
        distribution = recorder.of(state[name])
        first = float(state[name].flatten()[0])
        if distribution is None and bool((state[name] == first).all()):
            distribution = constant(first)
        if distribution is None:
            raise NetworkError(
                f"expected {name} to be drawn from a normal or uniform distribution, "
                "got another computation in the network's constructor"
            )
        found[name] = distribution
    return found
