"""The ten costliest operators of a training step: ``npm run bench -- --profile``."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from scripts.project import ROOT

COSTLIEST = 10
SUFFIX = "_kernel_time"


def profile(batch: int, threads: int) -> list[str]:
    """Returns a table of operators by input shapes; a node counts with its fastest of 3 steps."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(__file__).with_name("profile_step.mjs")
        command = ["node", str(script), str(batch), folder, str(threads)]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        (written,) = Path(folder).glob("profile*.json")
        events: list[dict[str, Any]] = json.loads(written.read_text())
    fastest: dict[str, float] = {}
    kinds: dict[str, str] = {}
    for event in events:
        name = event["name"]
        if event.get("cat") != "Node" or not name.endswith(SUFFIX):
            continue
        operator = event["args"]["op_name"]
        if operator != "Scan":  # the Scan contains all other nodes
            fastest[name] = min(fastest.get(name, float("inf")), event["dur"] / 1000)
            kinds[name] = f"{operator} | {_shapes(event['args']['input_type_shape'])}"
    cost: defaultdict[str, float] = defaultdict(float)
    for name, milliseconds in fastest.items():
        cost[kinds[name]] += milliseconds
    nodes = Counter(kinds.values())
    total = sum(cost.values())
    lines = [
        f"Batch {batch}: {total:.0f} ms in {len(fastest)} nodes.",
        "",
        "| operator | inputs | nodes | ms | share |",
        "| --- | --- | --- | --- | --- |",
    ]
    for kind, milliseconds in sorted(cost.items(), key=lambda item: -item[1])[:COSTLIEST]:
        share = f"{100 * milliseconds / total:.0f} %"
        lines.append(f"| {kind} | {nodes[kind]} | {milliseconds:.1f} | {share} |")
    return lines


def _shapes(inputs: list[dict[str, list[int]]]) -> str:
    return ", ".join("x".join(map(str, *each.values())) or "scalar" for each in inputs[:3])
