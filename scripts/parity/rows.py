"""The lines of the table."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from scripts.parity.bridge import Bridge


@dataclass(frozen=True)
class Row:
    """One line: a claim, its bound and what was measured."""

    number: str
    what: str
    bound: str
    measured: str
    holds: bool | None
    """None: could not be measured here."""


@dataclass
class Context:
    """What the rows share."""

    bridge: Bridge
    folder: Path
    """For files; removed afterwards."""
    notes: list[str] = field(default_factory=list)
    """Remarks printed below the table."""


def at_most(number: str, what: str, measured: float, bound: float, remark: str = "") -> Row:
    """A line that holds if ``measured`` is at most ``bound``; NaN never is."""
    text = f"{measured:.2g}{f' ({remark})' if remark else ''}"
    return Row(number, what, f"≤ {bound:g}", text, measured <= bound)


def at_most_twice(number: str, what: str, measured: float, spread: float, whose: str) -> Row:
    """A line that holds if ``measured`` is at most twice PyTorch's own ``spread``."""
    return Row(
        number,
        what,
        f"≤ 2 × {whose}",
        f"{measured:.2g} against {spread:.2g}",
        measured <= 2 * spread,
    )
