"""The command: measures the rows, writes docs/results/parity.md or the tests' fixtures."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from scripts.parity import fixtures, gradients, pixels, providers, runs, trajectories
from scripts.parity.bridge import Bridge
from scripts.parity.rows import Context, Row
from scripts.project import RESULTS, ROOT

DOCUMENT = RESULTS / "parity.md"
PARTS = {
    "pixels": pixels,
    "gradients": gradients,
    "trajectories": trajectories,
    "runs": runs,
    "providers": providers,
}
"""Rows 1 and 2; 3; 4 and 5; 5, 6 and 7; 8."""

INTRODUCTION = """\
# Parity with PyTorch

This project's own compiled driver and PyTorch with torchvision, side by side on the same inputs.
{headline}

Two right float32 programs drift apart: a ReLU or a max pool decides the other way on a
difference in the last bit, and from there on the numbers differ. So exactness is shown in
float64, on a tiny network with every operator of ResNet-18 (the training graph computed by
onnx's ReferenceEvaluator), and float32 is held to PyTorch's own spread.

| row | what | bound | measured | |
| --- | --- | --- | --- | --- |
"""

ENDING = """
Distances of vectors are norms of differences over the norm of what PyTorch has. Twenty steps
are four epochs of 18 pictures in batches of 4, 4, 4, 4 and 2, at learning rate 0.001 and its
tenth, hundredth and thousandth; both sides get the batches that the driver's loader made. Rows
1 and 2 use the photographs of scikit-image's package, row 5 to 7 the pictures in samples/.

{notes}
## How to regenerate

```sh
npm ci
npm run parity                # measures everything, writes this file; 20 minutes on two cores
npm run parity -- --fixtures  # writes test/fixtures/parity instead
```

The first run makes the Python environment (README, "Rebuilding the artifacts"). Row 7 needs
Chromium and row 8 the Vulkan driver that comes with it: on Debian `apt-get install chromium
libvulkan1`.

`npm test` holds rows 1 to 5, 7 and 8 by test/fixtures/parity, which the same program wrote;
`npm run test:python` holds the float64 parts of rows 3 and 4, and row 6.

Measured on {date}, {machine}: {versions}.
"""


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown."""
    verdicts = {True: "holds", False: "**missed**", None: "not run"}
    return "".join(
        f"| {row.number} | {row.what} | {row.bound} | {row.measured} | {verdicts[row.holds]} |\n"
        for row in rows
    )


def headline(rows: Sequence[Row]) -> str:
    """How many of the bounds hold."""
    held = sum(row.holds is True for row in rows)
    missed = [row.number for row in rows if row.holds is False]
    unmeasured = sum(row.holds is None for row in rows)
    text = f"Of {len(rows) - unmeasured} measured bounds {held} hold"
    if missed:
        text += f" and {len(missed)} are missed (in row {', '.join(sorted(set(missed)))})"
    return f"{text}; {unmeasured} could not be measured here." if unmeasured else f"{text}."


def versions() -> str:
    """Of everything that computes."""
    packages = ("torch", "torchvision", "pillow", "onnx", "onnxruntime-training-cpu")
    found = [f"{name} {version(name)}" for name in packages]
    for name in ("onnxruntime-node", "sharp"):
        manifest = json.loads((ROOT / "node_modules" / name / "package.json").read_text())
        found.append(f"{name} {manifest['version']}")
    node = subprocess.run(["node", "--version"], check=True, capture_output=True, text=True)
    return ", ".join([*found, f"Node {node.stdout.strip()}", f"Python {sys.version.split()[0]}"])


def document(rows: Sequence[Row], notes: Sequence[str]) -> str:
    """The whole file."""
    ordered = sorted(rows, key=lambda row: row.number)
    machine = f"{os.cpu_count()} cores, {platform.machine().replace('_', '-')}"
    ending = ENDING.format(
        notes="".join(f"{note}\n\n" for note in notes),
        date=datetime.date.today().isoformat(),
        machine=machine,
        versions=versions(),
    )
    return INTRODUCTION.format(headline=headline(ordered)) + table(ordered) + ending


def main(arguments: list[str]) -> int:
    """Runs the command; returns 1 if a bound is missed."""
    parser = argparse.ArgumentParser(prog="npm run parity --", description=__doc__)
    parser.add_argument("--fixtures", action="store_true", help="write the tests' fixtures instead")
    parser.add_argument(
        "--only", nargs="+", choices=list(PARTS), help="print these parts' rows, write nothing"
    )
    options = parser.parse_args(arguments)
    with Bridge() as bridge, tempfile.TemporaryDirectory() as folder:
        if options.fixtures:
            fixtures.write(bridge)
            return 0
        context = Context(bridge, Path(folder))
        rows: list[Row] = []
        for name in options.only or PARTS:
            for row in PARTS[name].rows(context):
                print(table([row]), end="", flush=True)
                rows.append(row)
    print(*context.notes, headline(rows), sep="\n")
    if not options.only:
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(document(rows, context.notes))
        print(f"written: {DOCUMENT.relative_to(ROOT)}")
    return 1 if any(row.holds is False for row in rows) else 0
