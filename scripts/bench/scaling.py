"""Predicts epoch times on many ranks, with a model fitted to the figures of ``npm run scaling``.

``python -m scripts.bench.scaling`` reads docs/results/scaling.json and writes
docs/results/scaling.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from scripts.project import RESULTS

NETWORKS = {"10 Gbit/s": 10e9, "100 Gbit/s": 100e9}
"""Rates in bits per second."""
RANKS = [1 << power for power in range(1, 9)]
IMAGES = [1000, 100_000]
PAYS = 1.5
"""Smallest speed-up of an epoch for which doubling the ranks pays."""


@dataclass(frozen=True)
class Link:
    """The time of a message.

    Attributes:
        latency: seconds per message.
        per_byte: seconds per byte of a message, including the processor's share.
    """

    latency: float
    per_byte: float

    @staticmethod
    def fit(ranks: int, times: Sequence[tuple[float, float]]) -> Link:
        """Fits a link to measured times, by least squares of the relative errors of ``ring``.

        Args:
            ranks: number of ranks N.
            times: pairs of a buffer's bytes and the seconds of its all-reduce.
        """
        messages = 2 * (ranks - 1)
        rows = [[messages / t, messages * size / ranks / t] for size, t in times]
        found, *_ = np.linalg.lstsq(np.array(rows), np.ones(len(rows)), rcond=None)
        return Link(float(found[0]), float(found[1]))

    def limited(self, bits: float, share: float) -> Link:
        """Adds the time of a network: ``bits`` per second, of which it reaches ``share``."""
        return Link(self.latency, self.per_byte + 8 / bits / share)

    def share(self, ranks: int, bits: float, size: float, seconds: float) -> float:
        """Returns the share of a network's rate for which ``limited`` gives a measured time."""
        own = seconds - self.ring(ranks, size)
        return Link(0, 8 / bits).ring(ranks, size) / own

    def ring(self, ranks: int, size: float) -> float:
        """Returns the seconds of a ring all-reduce (Thakur et al. 2005).

        It sends 2 (N - 1) messages, each with an N-th of the buffer.

        Args:
            ranks: number of ranks N.
            size: bytes of the buffer.
        """
        return 2 * (ranks - 1) * (self.latency + size / ranks * self.per_byte)


@dataclass(frozen=True)
class Model:
    """The parts of an epoch's time.

    Attributes:
        single: seconds of a step in the graph for one process.
        pair: seconds of a step in the two graphs of a rank, without the all-reduce.
        batch: images per step of a rank.
        gradients: bytes of the buffer to reduce.
    """

    single: float
    pair: float
    batch: int
    gradients: int

    def epoch(self, ranks: int, images: int, link: Link) -> float:
        """Returns the seconds of an epoch; all ranks take as many steps as the largest part."""
        steps = math.ceil(math.ceil(images / ranks) / self.batch)
        if ranks == 1:
            return steps * self.single
        return steps * (self.pair + link.ring(ranks, self.gradients))

    def efficiency(self, ranks: int, images: int, link: Link) -> float:
        """Returns the speed-up over one rank, divided by the number of ranks."""
        return self.epoch(1, images, link) / self.epoch(ranks, images, link) / ranks

    def last_that_pays(self, images: int, link: Link) -> int:
        """Returns the largest number of ranks to which doubling pays; 1 if no doubling pays."""
        paying = [
            ranks
            for ranks in RANKS
            if self.epoch(ranks // 2, images, link) >= PAYS * self.epoch(ranks, images, link)
        ]
        return max(paying, default=1)


def pairs(times: Sequence[dict[str, float]]) -> list[tuple[float, float]]:
    """Returns pairs of bytes and seconds."""
    return [(time["bytes"], time["seconds"]) for time in times]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Formats a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def milliseconds(seconds: float) -> str:
    """Formats a time for a table."""
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else f"{1000 * seconds:.0f} ms"


def throughput(figures: dict[str, Any]) -> str:
    """Returns the table of measured speeds: one rank and two."""
    found = figures["throughput"]
    rows = [
        ["1 rank, 2 threads", f"{found['oneRank']:.1f}", ""],
        ["2 ranks, 1 thread each", f"{found['twoRanks']:.1f}", f"{found['allReduceShare']:.0%}"],
    ]
    return table(["", "images/s", "time in all-reduce"], rows)


def all_reduces(figures: dict[str, Any], link: Link) -> str:
    """Returns the table of measured all-reduces, with the model's times."""
    rows = []
    local = dict(pairs(figures["sharedMemory"]))
    for size, seconds in pairs(figures["network"]["unlimited"]):
        cells = [milliseconds(local[size]), milliseconds(seconds), milliseconds(link.ring(2, size))]
        rows.append([f"{size:,}", *cells])
    return table(["bytes", "one host", "two hosts", "model of two hosts"], rows)


def limited_times(figures: dict[str, Any]) -> list[tuple[float, float, float]]:
    """Returns rate in bits per second, bytes and seconds of all-reduces over rate-limited links."""
    return [
        (limited["megabits"] * 1e6, size, seconds)
        for limited in figures["network"]["limited"]
        for size, seconds in pairs(limited["times"])
    ]


def checks(figures: dict[str, Any], link: Link, share: float) -> str:
    """Returns the table of all-reduces over rate-limited links, with the model's times."""
    rows = []
    for rate, size, seconds in limited_times(figures):
        found = link.limited(rate, share).ring(2, size)
        cells = [milliseconds(seconds), milliseconds(found), f"{found / seconds - 1:+.0%}"]
        rows.append([f"{rate / 1e9:g}", f"{size:,}", *cells])
    return table(["Gbit/s", "bytes", "measured", "model", "difference"], rows)


def predictions(model: Model, links: Sequence[Link], images: int) -> str:
    """Returns the table of predicted epochs."""
    rows = []
    for ranks in [1, *RANKS]:
        cells = [
            f"{model.epoch(ranks, images, one):.3g} s, {model.efficiency(ranks, images, one):.0%}"
            for one in links
        ]
        rows.append([str(ranks), *cells])
    return table(["ranks", *(f"{name}: epoch, efficiency" for name in NETWORKS)], rows)


def doublings(model: Model, links: Sequence[Link]) -> tuple[str, str]:
    """Returns the last doublings that pay, and the gains of the first doubling."""
    pays = [
        f"{model.last_that_pays(images, one)} ranks for {images:,} images at {name}"
        for images in IMAGES
        for name, one in zip(NETWORKS, links, strict=True)
    ]
    gains = ", ".join(
        f"{model.epoch(1, IMAGES[1], one) / model.epoch(2, IMAGES[1], one):.2f} times at {name}"
        for name, one in zip(NETWORKS, links, strict=True)
    )
    return "; ".join(pays), gains


def document(figures: dict[str, Any]) -> str:
    """Returns the text of docs/results/scaling.md."""
    network = pairs(figures["network"]["unlimited"])
    link = Link.fit(2, network)
    step = figures["steps"]
    gradients = int(max(size for size, _ in network))
    model = Model(step["single"], step["pair"], step["batch"], gradients)
    share = median(
        link.share(2, rate, size, seconds) for rate, size, seconds in limited_times(figures)
    )
    links = [link.limited(bits, share) for bits in NETWORKS.values()]
    pays, gains = doublings(model, links)
    sections = "\n".join(
        f"{images:,} training images, batch {model.batch} per rank:\n\n"
        f"{predictions(model, links, images)}"
        for images in IMAGES
    )
    ratio, rounds = figures["throughput"]["ratio"], figures["throughput"]["rounds"]
    single, pair = milliseconds(model.single), milliseconds(model.pair)
    return f"""\
# Scaling over MPI

ResNet-18 at 224x224, float32, batch {model.batch} per rank. `npm run scaling` measures all this,
and writes this file and `scaling.json` beside it. This run: {figures["date"]}, Open MPI,
{figures["processor"]}. {figures.get("remark", "")}

## Measured

The whole command on one machine with two cores, on the sample images; second epoch; medians of
{rounds} rounds, in turn:

{throughput(figures)}
The ratio is {ratio:.2f} (median of the rounds' ratios). The time in all-reduce includes
waiting for the other rank.

A step with two threads takes {single} in the graph for one process and {pair} in the two graphs of
a rank, without the all-reduce. The two graphs copy gradients and weights at every step. The graph
for one process was timed with eight steps per call; training makes at most two per call.

Medians of all-reduces over two ranks, as a step makes them. "Two hosts" are two network namespaces
of this machine with their own addresses, over TCP on a veth pair: real sockets without a wire, and
both ends share the two cores. {gradients:,} bytes are the gradients of ResNet-18.

{all_reduces(figures, link)}
## The model

A ring all-reduce of S bytes over N ranks sends 2 (N - 1) messages of S / N bytes. The time of a
message is a latency and a time per byte. Fitted to the column "two hosts" (least squares of the
relative errors), the latency is {1e6 * link.latency:.0f} µs, and processor and memory take
{1e9 * link.per_byte:.2f} ns per byte. A network adds its own time per byte. Over a link limited to
a rate (tc tbf) TCP reached {share:.0%} of the rate (the median of this table); the model assumes
this share for other networks, too:

{checks(figures, link, share)}
## Predicted, not measured

Each rank is one machine with two such cores. Its step takes {pair} and the all-reduce; the step of
a single process takes {single}. Efficiency is the speed-up over one process, divided by the number
of ranks. The model leaves out slow machines that the others wait for, decoding, validation and
checkpoints, and networks that do not give each pair of neighbours the full rate.

{sections}
Doubling the ranks pays if it makes an epoch at least {PAYS} times as fast. Up to {RANKS[-1]} ranks,
the last doubling that pays is the one to {pays}.
More ranks than batches bring nothing: {IMAGES[0]:,} images fill {IMAGES[0] // model.batch} ranks.
The doubling from one process to two ranks gains least: {gains}.
The batch of a step grows with the ranks: at 256 ranks it is {256 * model.batch:,} images.
"""


def main() -> None:
    """Writes the document."""
    figures: dict[str, Any] = json.loads((RESULTS / "scaling.json").read_text())
    (RESULTS / "scaling.md").write_text(document(figures))


if __name__ == "__main__":
    main()
