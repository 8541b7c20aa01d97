"""Lines of the table in docs/results/parity.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scripts.parity.bridge import Bridge


@dataclass(frozen=True)
class Row:
    """One line: what is compared, its bound and the measured value.

    Attributes:
        number: number of the row; several lines may share it.
        holds: None if it could not be measured on this machine.
        judged: False for a figure without a bound.
    """

    number: str
    what: str
    bound: str
    measured: str
    holds: bool | None
    judged: bool = True


@dataclass
class Context:
    """Things that all rows share.

    Attributes:
        folder: a folder for files; it is removed afterwards.
        networks: networks of rows 3 to 7 -> how many seeds take twenty steps.
        notes: remarks to print below the table.
    """

    bridge: Bridge
    folder: Path
    networks: Mapping[str, int]
    notes: list[str] = field(default_factory=list)


def at_most(number: str, what: str, measured: float, bound: float, remark: str = "") -> Row:
    """Returns a line that holds if ``measured`` is at most ``bound``; it misses for NaN."""
    text = f"{measured:.2g}{f' ({remark})' if remark else ''}"
    return Row(number, what, f"≤ {bound:g}", text, measured <= bound)


def at_most_twice(number: str, what: str, measured: float, spread: float, whose: str) -> Row:
    """Returns a line that holds if ``measured`` is at most twice PyTorch's own ``spread``."""
    return Row(
        number,
        what,
        f"≤ 2 × {whose}",
        f"{measured:.2g} against {spread:.2g}",
        measured <= 2 * spread,
    )
