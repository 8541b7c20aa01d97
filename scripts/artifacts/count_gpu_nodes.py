"""Counts the nodes of a training step on a GPU: prints the table of docs/results/performance.md.

    node scripts/python.mjs -m scripts.artifacts.count_gpu_nodes

For small batches, the time of a step on a GPU is the time to launch its nodes.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx

from scripts.artifacts.stored import load_graph, read_manifest
from scripts.project import COMMITTED

RESHAPING = frozenset({"Flatten", "Identity", "Reshape", "Unsqueeze"})
"""Operators that only change the shape: they compute nothing."""

DEVICES = {"trainCuda": "CUDA", "trainWebgpu": "WebGPU"}


def step_nodes(model: onnx.ModelProto) -> Counter[str]:
    """Counts the operators of one training step: those of the Scan's body if there is a Scan."""
    nodes = list(model.graph.node)
    bodies = [a.g for node in nodes for a in node.attribute if a.name == "body"]
    if len(bodies) > 1 or (bodies and len(nodes) > 1):
        raise ValueError(f"expected one step or one Scan of it, got {len(nodes)} nodes")
    return Counter(node.op_type for node in (bodies[0].node if bodies else nodes))


def count(folder: Path, graph: str) -> tuple[int, int]:
    """Counts the nodes of a step that compute, and those that only reshape."""
    operators = step_nodes(load_graph(folder, graph))
    reshaping = sum(n for op_type, n in operators.items() if op_type in RESHAPING)
    return operators.total() - reshaping, reshaping


def table() -> str:
    """Returns the counts of every bundled network that has graphs for GPUs, as Markdown."""
    lines = [
        "| network | graph | nodes that compute | nodes that reshape |",
        "| --- | --- | --- | --- |",
    ]
    for arch, folder in COMMITTED.items():
        graphs = read_manifest(folder)["graphs"]
        if arch == "tiny" or not DEVICES.keys() <= graphs.keys():
            continue
        for graph, device in DEVICES.items():
            computing, reshaping = count(folder, graph)
            lines.append(f"| {arch} | {device} | {computing} | {reshaping} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
