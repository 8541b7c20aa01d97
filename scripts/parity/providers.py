"""Row 8: the same twenty steps on every execution provider."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from scripts.parity.bridge import Bridge, BridgeError, Provider
from scripts.parity.rows import Context, Row, at_most_twice
from scripts.parity.trajectories import (
    RATES,
    Distance,
    distance,
    doubles,
    drive,
    medians,
    write_data,
)
from scripts.reference.philox import random_state
from scripts.reference.torch_training import make_model, threads, train

ARCH = "tiny"
CLASSES = 2
SEEDS = range(8)


@dataclass(frozen=True)
class ProviderDistance:
    """Median distances from PyTorch float64 over the seeds, on the same batches.

    Attributes:
        provider: distance of this project on the provider.
        torch: distance of PyTorch float32.
    """

    provider: Distance
    torch: Distance


def measure(bridge: Bridge, data: Path, provider: Provider, seeds: range) -> ProviderDistance:
    """Takes twenty steps of the tiny network on one provider, for each seed."""
    bridge.open(ARCH, CLASSES, provider)
    ours, theirs = [], []
    for seed in seeds:
        start = random_state(ARCH, CLASSES, seed)
        model = make_model(ARCH, CLASSES, 0)
        model.load_state_dict(start)
        bridge.set_state(start)
        found = drive(bridge, data, seed)
        with threads(1):
            exact = train(model, found.batches, RATES, dtype=torch.double)
            single = train(model, found.batches, RATES)
        ours.append(distance(found.losses, found.state, exact, start))
        theirs.append(distance(doubles(single.losses), single.state, exact, start))
    return ProviderDistance(medians(ours), medians(theirs))


def rows(context: Context) -> Iterator[Row]:
    """Measures row 8."""
    data = write_data(context.folder / "providers")
    yield from _provider_rows("CPU", measure(context.bridge, data, "cpu", SEEDS))
    icd = context.bridge.find()["swiftShader"]
    what = "WebGPU (SwiftShader)"
    if icd is None:
        yield Row("8", f"20 steps on {what}", "", "not run: no SwiftShader here", None)
    else:
        with Bridge({"VK_ICD_FILENAMES": icd}) as bridge:
            yield from _provider_rows(what, measure(bridge, data, "webgpu", SEEDS))
            placements = bridge.placements(ARCH, "webgpu")
        yield _placement_row(what, placements)
    # Turn TF32 off: its results are further from float64 than PyTorch's float32 results.
    with Bridge({"NVIDIA_TF32_OVERRIDE": "0"}) as bridge:
        try:
            bridge.open(ARCH, CLASSES, "cuda")
        except BridgeError:
            yield Row("8", "20 steps on CUDA", "", "not run: its provider does not load here", None)
        else:
            what = "CUDA (TF32 off)"
            yield from _provider_rows(what, measure(bridge, data, "cuda", SEEDS))
            yield _placement_row(what, bridge.placements(ARCH, "cuda"))


def _provider_rows(name: str, found: ProviderDistance) -> Iterator[Row]:
    what = f"20 steps on {name}, tiny network, from float64, median of {len(SEEDS)} seeds"
    for figure in ("losses", "weights"):
        ours, theirs = getattr(found.provider, figure), getattr(found.torch, figure)
        yield at_most_twice("8", f"{what}: {figure}", ours, theirs, "PyTorch float32's")


def _placement_row(name: str, placements: dict[str, dict[str, int]]) -> Row:
    """Returns the line that counts operators on the CPU and copies.

    The runtime silently puts operators that a provider lacks on the CPU, and copies their tensors.
    """
    on_cpu = sum(placements.get("CPUExecutionProvider", {}).values())
    there = [ops for provider, ops in placements.items() if provider != "CPUExecutionProvider"]
    copies = sum(n for ops in there for op, n in ops.items() if op.startswith("Memcpy"))
    nodes = sum(n for ops in there for n in ops.values()) - copies
    return Row(
        "8",
        f"a step on {name}, tiny network: nodes on the CPU, and copies between the two",
        "none",
        f"{on_cpu} and {copies}, beside {nodes} nodes",
        on_cpu + copies == 0 < nodes,
    )
