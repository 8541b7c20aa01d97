"""The committed figures of PyTorch's losses, schedules and steps are PyTorch's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scripts.write_settings_fixtures import FILE, fixtures


def compare(found: Any, expected: Any, rel: float = 1e-12) -> None:
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            # float32's own error is another on other processors.
            compare(found[key], value, 0.9 if key == "torchError" else rel)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            compare(one, other, rel)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=rel, abs=1e-15)
    else:
        assert found == expected


def test_the_file_is_what_pytorch_gives() -> None:
    committed, made = json.loads(FILE.read_text()), fixtures()
    # Sums over many steps and elements, added up in another order elsewhere.
    compare(committed.pop("sgd"), made.pop("sgd"), 1e-7)
    compare(committed, made)
