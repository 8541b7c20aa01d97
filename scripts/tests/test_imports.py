"""Layers of scripts/: which package may import which, read from the sources."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.project import ROOT

ALLOWED: dict[str, set[str]] = {
    "artifacts": set(),
    "reference": {"artifacts"},
    "fixtures": {"artifacts", "reference"},
    "parity": {"artifacts", "reference"},
    "bench": {"artifacts", "reference"},
    "checks": {"artifacts", "reference"},
    "project": set(),
}
"""Packages that a package may import besides itself and ``project``; none may import ``tests``."""


def imported(source: str) -> Iterator[str]:
    """Yields the full name of every module that a source imports, wherever the import stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield "." * node.level + (node.module or "")
            elif node.module == "scripts":
                yield from (f"scripts.{alias.name}" for alias in node.names)
            else:
                yield node.module or ""


def violations(folder: Path) -> list[str]:
    """Returns one line for each import in ``folder`` (a scripts/ folder) that breaks a rule."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        package = parts[0]
        if package in ("tests", "__init__"):
            continue
        for name in imported(path.read_text()):
            if name.startswith("."):
                found.append(f"{path.name}: expected an absolute import, got {name}")
                continue
            top, _, rest = name.partition(".")
            target = rest.partition(".")[0]
            if top == "scripts" and target not in ALLOWED[package] | {package, "project"}:
                found.append(f"{'/'.join(parts)}: expected no import of {target}, got {name}")
    return found


def test_every_package_imports_only_what_lies_below_it() -> None:
    assert violations(ROOT / "scripts") == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("artifacts/lowering/planted.py", "from scripts.reference.evaluator import run_reference"),
        ("artifacts/planted.py", "def late():\n    import scripts.parity.rows"),
        ("reference/planted.py", "from scripts import bench"),
        ("bench/planted.py", "from scripts.parity import rows"),
        ("parity/planted.py", "from scripts.tests.parity import test_parity"),
        ("fixtures/planted.py", "from ..tests import fixtures"),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, file: str, line: str) -> None:
    planted = tmp_path / file
    planted.parent.mkdir(parents=True)
    planted.write_text(line + "\n")
    assert len(violations(tmp_path)) == 1
