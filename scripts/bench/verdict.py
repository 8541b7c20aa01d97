"""How the documents say whether a target is met."""

from __future__ import annotations


def verdict(value: float, bound: float | None) -> str:
    """Formats a value that should be small: ``1.20 (target 1.05: missed)``."""
    if bound is None:
        return f"{value:.2f}"
    return f"{value:.2f} (target {bound:.2f}: {'met' if value <= bound else '**missed**'})"


def at_least(value: float, bound: float) -> str:
    """Formats a value that should be large: ``1.20 (target 1.00: met)``."""
    return f"{value:.2f} (target {bound:.2f}: {'met' if value >= bound else '**missed**'})"
