"""The committed figures of PyTorch's losses and schedules are PyTorch's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scripts.write_settings_fixtures import FILE, fixtures


def compare(found: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            compare(found[key], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            compare(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-15)
    else:
        assert found == expected


def test_the_file_is_what_pytorch_gives() -> None:
    compare(json.loads(FILE.read_text()), fixtures())
