"""Rows 4 and 5 in float32: twenty steps of a whole network, judged by their distance from float64.

Both programs take the same twenty steps, each with one thread and with two. The distance between
two float32 programs says little: exact arithmetic has one from each of them, too. So
each is measured from PyTorch in float64, and this project may be a quarter further away. The
distances of PyTorch's runs from each other are shown without a bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from scripts.parity.bridge import Bridge
from scripts.parity.rows import Context, Row
from scripts.parity.trajectories import (
    RATES,
    Distance,
    Trajectory,
    distance,
    doubles,
    drive,
    medians,
    write_data,
)
from scripts.reference.philox import random_state
from scripts.reference.torch_training import Trained, make_model, threads, train

CLASSES = 2
THREADS = (1, 2)
FACTOR = 1.25
"""How many times PyTorch's distance from float64 this project's may be."""
FIGURES = {
    "losses": ("4", "losses"),
    "weights": ("4", "weights, relative to their way"),
    "statistics": ("5", "running statistics, relative to their way"),
}
"""Attribute of a distance -> number of its row and its name."""


@dataclass(frozen=True)
class Distances:
    """Distances of float32 trajectories: of one seed, or medians over several.

    Attributes:
        ours: this project from PyTorch float64, by number of threads.
        torch: PyTorch from PyTorch float64, by number of threads.
        ours_torch: this project with two threads from PyTorch with two.
        torch_torch: PyTorch with one thread from PyTorch with two.
    """

    ours: Mapping[int, Distance]
    torch: Mapping[int, Distance]
    ours_torch: Distance
    torch_torch: Distance

    @staticmethod
    def medians(found: Sequence[Distances]) -> Distances:
        """Returns the medians over the seeds."""
        return Distances(
            ours={count: medians([each.ours[count] for each in found]) for count in THREADS},
            torch={count: medians([each.torch[count] for each in found]) for count in THREADS},
            ours_torch=medians([each.ours_torch for each in found]),
            torch_torch=medians([each.torch_torch for each in found]),
        )

    def ratio(self, figure: str) -> float:
        """Returns this project's distance from float64 / PyTorch's; the worse number of threads."""
        ratios: list[float] = [
            getattr(self.ours[count], figure) / getattr(self.torch[count], figure)
            for count in THREADS
        ]
        return max(ratios)


def measure(
    bridges: Mapping[int, Bridge], data: Path, arch: str, seeds: Iterable[int]
) -> Iterator[Distances]:
    """Takes twenty steps from random weights for each seed.

    Args:
        bridges: a bridge for each number of threads.
    """
    for count, bridge in bridges.items():
        bridge.open(arch, CLASSES, threads=count)
    for seed in seeds:
        yield _one_seed(bridges, data, arch, seed)


def _one_seed(bridges: Mapping[int, Bridge], data: Path, arch: str, seed: int) -> Distances:
    start = random_state(arch, CLASSES, seed)
    model = make_model(arch, CLASSES, 0)
    model.load_state_dict(start)
    for bridge in bridges.values():
        bridge.set_state(start)
    ours = {2: drive(bridges[2], data, seed)}
    batches = ours[2].batches
    torch_runs: dict[int, Trained] = {}
    # Two programs with one thread each fill two cores.
    with ThreadPoolExecutor(1) as pool:
        alone = pool.submit(drive, bridges[1], data, seed)
        with threads(1):
            torch_runs[1] = train(model, batches, RATES)
        ours[1] = alone.result()
    for one, two in zip(ours[1].batches, batches, strict=True):
        assert torch.equal(one.images, two.images)
    with threads(2):
        torch_runs[2] = train(model, batches, RATES)
        exact = train(model, batches, RATES, dtype=torch.double)

    def of_driver(run: Trajectory, reference: Trained) -> Distance:
        return distance(run.losses, run.state, reference, start)

    def of_torch(run: Trained, reference: Trained) -> Distance:
        return distance(doubles(run.losses), run.state, reference, start)

    return Distances(
        ours={count: of_driver(run, exact) for count, run in ours.items()},
        torch={count: of_torch(run, exact) for count, run in torch_runs.items()},
        ours_torch=of_driver(ours[2], torch_runs[2]),
        torch_torch=of_torch(torch_runs[1], torch_runs[2]),
    )


def rows(context: Context) -> Iterator[Row]:
    """Measures rows 4 and 5 of all networks."""
    data = write_data(context.folder / "float32")
    for arch, seeds in context.networks.items():
        with Bridge() as other:
            bridges = {1: other, 2: context.bridge}
            found = Distances.medians(list(measure(bridges, data, arch, range(seeds))))
        yield from lines(arch, seeds, found)


def lines(arch: str, seeds: int, found: Distances) -> Iterator[Row]:
    """Returns the lines of one network: those with a bound, then those without."""
    what = f"20 steps, float32, {arch}, median of {seeds} seeds"
    for figure, (number, name) in FIGURES.items():
        yield judged(number, f"{what}, from float64: {name}", found, figure)
    for figure, (number, name) in FIGURES.items():
        ours, theirs = getattr(found.ours_torch, figure), getattr(found.torch_torch, figure)
        yield Row(
            number,
            f"{what}, from PyTorch with two threads, beside PyTorch with one: {name}",
            "",
            f"{ours:.2g} beside {theirs:.2g}",
            None,
            judged=False,
        )


def judged(number: str, what: str, found: Distances, figure: str) -> Row:
    """Returns a line that holds if the bound holds with one thread and with two."""

    def pair(count: int) -> str:
        ours, theirs = getattr(found.ours[count], figure), getattr(found.torch[count], figure)
        return f"{ours:.2g} against {theirs:.2g}"

    return Row(
        number,
        what,
        f"≤ {FACTOR} × PyTorch float32's, with one thread and with two",
        f"{pair(1)}; {pair(2)}; worse ratio {found.ratio(figure):.2f}",
        found.ratio(figure) <= FACTOR,
    )
