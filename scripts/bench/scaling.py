"""Epoch times on many ranks: a model, fitted to the figures of ``npm run scaling``.

python -m scripts.bench.scaling reads docs/results/scaling.json and writes docs/results/scaling.md.
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
"""Bits a second."""
RANKS = [1 << power for power in range(1, 9)]
IMAGES = [1000, 100_000]
PAYS = 1.5
"""Twice as many ranks pay if they make an epoch at least so many times as fast."""


@dataclass(frozen=True)
class Link:
    """What a message costs.

    Attributes:
        latency: seconds a message.
        per_byte: seconds a byte of a message; the processor's share included.
    """

    latency: float
    per_byte: float

    @staticmethod
    def fit(ranks: int, times: Sequence[tuple[float, float]]) -> Link:
        """Least squares of the relative errors of ``ring``.

        Args:
            ranks: N.
            times: bytes of a buffer and seconds of its all-reduce.
        """
        messages = 2 * (ranks - 1)
        rows = [[messages / t, messages * size / ranks / t] for size, t in times]
        found, *_ = np.linalg.lstsq(np.array(rows), np.ones(len(rows)), rcond=None)
        return Link(float(found[0]), float(found[1]))

    def limited(self, bits: float, share: float) -> Link:
        """The same with the time of a network of so many bits a second, at a share of its rate."""
        return Link(self.latency, self.per_byte + 8 / bits / share)

    def share(self, ranks: int, bits: float, size: float, seconds: float) -> float:
        """The share of a network's rate that makes ``limited`` give a measured time."""
        own = seconds - self.ring(ranks, size)
        return Link(0, 8 / bits).ring(ranks, size) / own

    def ring(self, ranks: int, size: float) -> float:
        """Seconds of a ring all-reduce: 2 (N - 1) messages of an N-th part (Thakur et al. 2005).

        Args:
            ranks: N.
            size: bytes of the buffer.
        """
        return 2 * (ranks - 1) * (self.latency + size / ranks * self.per_byte)


@dataclass(frozen=True)
class Model:
    """What an epoch is made of.

    Attributes:
        single: seconds of a step in the graph for one process.
        pair: the same in the two graphs of a rank, without the all-reduce.
        batch: images of a rank's step.
        gradients: bytes of the buffer to reduce.
    """

    single: float
    pair: float
    batch: int
    gradients: int

    def epoch(self, ranks: int, images: int, link: Link) -> float:
        """Seconds of an epoch; ranks have parts of equal size, and wait for the largest batch."""
        steps = math.ceil(math.ceil(images / ranks) / self.batch)
        if ranks == 1:
            return steps * self.single
        return steps * (self.pair + link.ring(ranks, self.gradients))

    def efficiency(self, ranks: int, images: int, link: Link) -> float:
        """How many times as fast as one rank, a rank."""
        return self.epoch(1, images, link) / self.epoch(ranks, images, link) / ranks

    def last_that_pays(self, images: int, link: Link) -> int:
        """The most ranks to which doubling makes an epoch ``PAYS`` times as fast; 1 for none."""
        paying = [
            ranks
            for ranks in RANKS
            if self.epoch(ranks // 2, images, link) >= PAYS * self.epoch(ranks, images, link)
        ]
        return max(paying, default=1)


def pairs(times: Sequence[dict[str, float]]) -> list[tuple[float, float]]:
    """Bytes and seconds."""
    return [(time["bytes"], time["seconds"]) for time in times]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """In Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def milliseconds(seconds: float) -> str:
    """For a table."""
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else f"{1000 * seconds:.0f} ms"


def throughput(figures: dict[str, Any]) -> str:
    """Measured: two ranks against one."""
    found = figures["throughput"]
    rows = [
        ["1 rank, 2 threads", f"{found['oneRank']:.1f}", ""],
        ["2 ranks, 1 thread each", f"{found['twoRanks']:.1f}", f"{found['allReduceShare']:.0%}"],
    ]
    return table(["", "images/s", "time in all-reduce"], rows)


def all_reduces(figures: dict[str, Any], link: Link) -> str:
    """Measured, beside what the model says of the network."""
    rows = []
    local = dict(pairs(figures["sharedMemory"]))
    for size, seconds in pairs(figures["network"]["unlimited"]):
        cells = [milliseconds(local[size]), milliseconds(seconds), milliseconds(link.ring(2, size))]
        rows.append([f"{size:,}", *cells])
    return table(["bytes", "one host", "two hosts", "model of two hosts"], rows)


def limited_times(figures: dict[str, Any]) -> list[tuple[float, float, float]]:
    """Bits a second of a link that is held to a rate, bytes and seconds."""
    return [
        (limited["megabits"] * 1e6, size, seconds)
        for limited in figures["network"]["limited"]
        for size, seconds in pairs(limited["times"])
    ]


def checks(figures: dict[str, Any], link: Link, share: float) -> str:
    """Measured on links that are held to a rate, beside what the model says."""
    rows = []
    for rate, size, seconds in limited_times(figures):
        found = link.limited(rate, share).ring(2, size)
        cells = [milliseconds(seconds), milliseconds(found), f"{found / seconds - 1:+.0%}"]
        rows.append([f"{rate / 1e9:g}", f"{size:,}", *cells])
    return table(["Gbit/s", "bytes", "measured", "model", "difference"], rows)


def predictions(model: Model, links: Sequence[Link], images: int) -> str:
    """Predicted epochs."""
    rows = []
    for ranks in [1, *RANKS]:
        cells = [
            f"{model.epoch(ranks, images, one):.3g} s, {model.efficiency(ranks, images, one):.0%}"
            for one in links
        ]
        rows.append([str(ranks), *cells])
    return table(["ranks", *(f"{name}: epoch, efficiency" for name in NETWORKS)], rows)


def document(figures: dict[str, Any]) -> str:
    """docs/results/scaling.md."""
    network = pairs(figures["network"]["unlimited"])
    link = Link.fit(2, network)
    step = figures["steps"]
    gradients = int(max(size for size, _ in network))
    model = Model(step["single"], step["pair"], step["batch"], gradients)
    share = median(
        link.share(2, rate, size, seconds) for rate, size, seconds in limited_times(figures)
    )
    links = [link.limited(bits, share) for bits in NETWORKS.values()]
    pays = [
        f"{model.last_that_pays(images, one)} ranks for {images:,} images at {name}"
        for images in IMAGES
        for name, one in zip(NETWORKS, links, strict=True)
    ]
    gains = ", ".join(
        f"{model.epoch(1, IMAGES[1], one) / model.epoch(2, IMAGES[1], one):.2f} times at {name}"
        for name, one in zip(NETWORKS, links, strict=True)
    )
    sections = "\n".join(
        f"{images:,} training images, batch {model.batch} a rank:\n\n"
        f"{predictions(model, links, images)}"
        for images in IMAGES
    )
    ratio, rounds = figures["throughput"]["ratio"], figures["throughput"]["rounds"]
    single, pair = milliseconds(model.single), milliseconds(model.pair)
    return f"""\
# Scaling over MPI

ResNet-18 at 224x224, float32, batch {model.batch} a rank. `npm run scaling` measures all this,
and writes this file and `scaling.json` beside it. This run: {figures["date"]}, Open MPI,
{figures["processor"]}. {figures.get("remark", "")}

## Measured

One machine, two cores, the whole command on the sample pictures, second epoch, medians of
{rounds} rounds in turn:

{throughput(figures)}
The ratio is {ratio:.2f} (median of the rounds' ratios). The time in all-reduce includes
waiting for the other rank.

A step with two threads takes {single} in the graph for one process (eight steps a chunk) and
{pair} in the two graphs of a rank, without the all-reduce: there gradients and weights are copied
at every step.

All-reduces over two ranks, as a step makes them, medians. Two hosts are two network namespaces of
this machine with addresses of their own, over TCP on a veth pair: real sockets, but no wire, and
both ends share the two cores. {gradients:,} bytes are the gradients of ResNet-18.

{all_reduces(figures, link)}
## The model

A ring all-reduce of S bytes over N ranks sends 2 (N - 1) messages of S / N bytes, each of which
takes a latency and a time a byte. Fitted to the column "two hosts" (least squares of the relative
errors): latency {1e6 * link.latency:.0f} µs, and {1e9 * link.per_byte:.2f} ns a byte, which is
what processor and memory take. A network's own time a byte comes on top; of a link that was held
to a rate (tc tbf) TCP reached {share:.0%} (the median of this table), and so it is taken to do of
others:

{checks(figures, link, share)}
## Predicted, not measured

A rank is one machine with two such cores. Its step takes {pair} and the all-reduce; that of a
process alone {single}. Efficiency is the speed-up over one process, divided by the ranks. Left out:
slow machines that the others wait for, decoding, validation and checkpoints, and networks that do
not give each pair of neighbours their full rate.

{sections}
The last doubling of the ranks that pays (an epoch at least {PAYS} times as fast), of those up to
{RANKS[-1]}, is that to {"; ".join(pays)}.
Where each rank has one batch an epoch, more bring nothing: from {IMAGES[0] // model.batch} ranks
for {IMAGES[0]:,} images.
From one process to two ranks is the dearest doubling: {gains}.
Mind that the batch of a step grows with the ranks: at 256 ranks it is {256 * model.batch:,} images.
"""


def main() -> None:
    """Writes the document."""
    figures: dict[str, Any] = json.loads((RESULTS / "scaling.json").read_text())
    (RESULTS / "scaling.md").write_text(document(figures))


if __name__ == "__main__":
    main()
