"""``npm run parity``: measures the rows, writes docs/results/parity.md or the tests' fixtures."""

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

from scripts.parity import (
    fixtures,
    float32_steps,
    gradients,
    pixels,
    providers,
    runs,
    trajectories,
)
from scripts.parity.bridge import Bridge
from scripts.parity.rows import Context, Row
from scripts.project import COMMITTED, RESULTS, ROOT

DOCUMENT = RESULTS / "parity.md"
NETWORKS = {"resnet18": 16}
"""Networks of rows 3 to 7, and how many seeds take twenty steps."""
FEW_SEEDS = 2
"""Seeds of a network that the document does not have."""
PARTS = {
    "pixels": pixels,
    "gradients": gradients,
    "trajectories": trajectories,
    "float32": float32_steps,
    "runs": runs,
    "providers": providers,
}
"""Modules that measure rows 1 and 2; 3; 4 and 5 in float64; and in float32; 5, 6 and 7; 8."""

INTRODUCTION = """\
# Parity with PyTorch

This project's compiled TypeScript program and PyTorch with torchvision, side by side on the same
inputs. {headline}

Two correct float32 programs drift apart: a difference in the last bit can change the decision of a
ReLU or a max pool, and from then on the numbers differ. Exactness is therefore shown in float64, on
a tiny network with all operators of ResNet-18 (onnx's ReferenceEvaluator computes the training
graph). In float32, each program's distance from PyTorch in float64 is measured, and this project's
may be a small multiple of PyTorch's.

| row | what | bound | measured | |
| --- | --- | --- | --- | --- |
"""

ENDING = """
The distance of two vectors is the norm of their difference, divided by the norm of PyTorch's
vector. "Relative to their way" means: divided by how far PyTorch's values moved from the start.
Twenty steps are four epochs of 18 images in batches of 4, 4, 4, 4 and 2, at the learning rates
0.001, 0.0001, 0.00001 and 0.000001. Both sides get the batches that this project's loader made.
Each side takes them with one thread and with two, and the bound holds if it holds for both. The
lines without a bound compare two float32 programs with each other, which says little: exact
arithmetic has a distance from both. Layers that draw random numbers (dropout, stochastic depth)
take the same masks on both sides: this project draws them, and PyTorch multiplies by them.
Rows 1 and 2 use the photographs of scikit-image's package, rows 5 to 7 the images in samples/.

{notes}
## How to regenerate

```sh
npm ci
npm run parity                # measures everything, writes this file; 25 minutes on two cores
npm run parity -- --only gradients runs --arch resnet34  # some rows of a network, printed only
npm run parity -- --fixtures  # writes test/fixtures/parity instead
```

The first run makes the Python environment (see CONTRIBUTING.md). Row 7 needs Chromium, and row 8
the Vulkan driver that comes with it: on Debian `apt-get install chromium libvulkan1`.

`npm test` checks rows 1 to 5, 7 and 8 with test/fixtures/parity, which the same program wrote.
`npm run test:python` checks the float64 parts of rows 3 and 4, and row 6.

Measured on {date}, {machine}: {versions}.
"""


def table(rows: Sequence[Row]) -> str:
    """Formats the rows as a Markdown table, without its head."""
    return "".join(
        f"| {row.number} | {row.what} | {row.bound} | {row.measured} | {_verdict(row)} |\n"
        for row in rows
    )


def _verdict(row: Row) -> str:
    if not row.judged:
        return "no bound"
    return {True: "holds", False: "**missed**", None: "not run"}[row.holds]


def headline(rows: Sequence[Row]) -> str:
    """Says how many of the bounds hold."""
    held = sum(row.holds is True for row in rows)
    missed = [row.number for row in rows if row.holds is False]
    unmeasured = sum(row.judged and row.holds is None for row in rows)
    text = f"Of {held + len(missed)} measured bounds {held} hold"
    if missed:
        text += f" and {len(missed)} are missed (in row {', '.join(sorted(set(missed)))})"
    return f"{text}; {unmeasured} could not be measured here." if unmeasured else f"{text}."


def versions() -> str:
    """Lists the versions of all software that computes."""
    packages = ("torch", "torchvision", "pillow", "onnx", "onnxruntime-training-cpu")
    found = [f"{name} {version(name)}" for name in packages]
    for name in ("onnxruntime-node", "sharp"):
        manifest = json.loads((ROOT / "node_modules" / name / "package.json").read_text())
        found.append(f"{name} {manifest['version']}")
    node = subprocess.run(["node", "--version"], check=True, capture_output=True, text=True)
    return ", ".join([*found, f"Node {node.stdout.strip()}", f"Python {sys.version.split()[0]}"])


def document(rows: Sequence[Row], notes: Sequence[str]) -> str:
    """Returns the text of docs/results/parity.md."""
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
    parser.add_argument(
        "--arch", action="append", choices=list(COMMITTED), help="with --only: network (repeatable)"
    )
    options = parser.parse_args(arguments)
    if options.arch and not options.only:
        parser.error("expected --only beside --arch: the document has all its networks")
    networks = {arch: NETWORKS.get(arch, FEW_SEEDS) for arch in options.arch or NETWORKS}
    with Bridge() as bridge, tempfile.TemporaryDirectory() as folder:
        if options.fixtures:
            fixtures.write(bridge)
            return 0
        context = Context(bridge, Path(folder), networks)
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
