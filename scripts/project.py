"""Folders of the project, and how its TypeScript is compiled. Every package may import this."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "samples/textures"
RESULTS = ROOT / "docs/results"

SHIPPED = (
    *("resnet18", "resnet34", "resnet50", "efficientnet_lite0", "efficientnet_b0"),
    *("mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large"),
)
"""Networks whose artifacts are part of the package."""

COMMITTED = {
    **{name: ROOT / "artifacts" / name for name in SHIPPED},
    "tiny": ROOT / "test/fixtures/tiny",
}
"""Artifact folders under version control, by network."""


class CompileError(Exception):
    """TypeScript that does not compile; the message holds the compiler's output."""


def compile_typescript() -> None:
    """Brings ``dist/`` up to date with the sources.

    Raises:
        CompileError: the sources do not compile.
    """
    compiler = ROOT / "node_modules/typescript/bin/tsc"
    found = subprocess.run(
        ["node", str(compiler), "-b", str(ROOT)], capture_output=True, text=True, check=False
    )
    if found.returncode != 0:
        raise CompileError(f"expected the sources to compile, got:\n{found.stdout}{found.stderr}")
