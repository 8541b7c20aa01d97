"""Time of an epoch on many ranks, from measured figures: step time, latency, bandwidth.

python -m scripts.predict_scaling --step SECONDS --overhead SECONDS
"""

from __future__ import annotations

import argparse
import math

GRADIENT_BYTES = 4 * 11_177_538
"""ResNet-18's parameters with two classes, float32."""

NETWORKS = {"10 Gbit/s": 10e9 / 8, "100 Gbit/s": 100e9 / 8}
RANKS = [2**power for power in range(1, 9)]


def ring(ranks: int, size: float, latency: float, bandwidth: float) -> float:
    """Seconds of a ring all-reduce: 2 (N - 1) messages of an N-th part (Thakur et al. 2005).

    Args:
        ranks: N.
        size: bytes of the buffer.
        latency: seconds a message.
        bandwidth: bytes a second.
    """
    return 2 * (ranks - 1) * (latency + size / ranks / bandwidth)


def epoch(
    ranks: int, images: int, batch: int, step: float, overhead: float, reduce: float
) -> float:
    """Seconds of an epoch.

    Args:
        ranks: N.
        images: in the training set.
        batch: images of a rank's step.
        step: seconds of a rank's gradients and update.
        overhead: seconds of a step on several ranks beside both, as measured.
        reduce: seconds of the all-reduce.
    """
    return math.ceil(math.ceil(images / ranks) / batch) * (step + overhead + reduce)


def main() -> None:
    """Prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", type=float, required=True, help="seconds of one rank's step")
    parser.add_argument("--overhead", type=float, default=0.0, help="seconds beside it, measured")
    parser.add_argument("--latency", type=float, default=50e-6, help="seconds a message")
    parser.add_argument("--images", type=int, default=100_000, help="training images")
    parser.add_argument("--batch", type=int, default=4, help="images of a rank's step")
    given = parser.parse_args()
    alone = epoch(1, given.images, given.batch, given.step, 0, 0)
    print("| ranks | " + " | ".join(f"{n}: epoch, efficiency" for n in NETWORKS) + " |")
    print("| --- | " + " | ".join("---" for _ in NETWORKS) + " |")
    for ranks in RANKS:
        cells = []
        for bandwidth in NETWORKS.values():
            reduce = ring(ranks, GRADIENT_BYTES, given.latency, bandwidth)
            seconds = epoch(ranks, given.images, given.batch, given.step, given.overhead, reduce)
            cells.append(f"{seconds:.0f} s, {alone / seconds / ranks:.0%}")
        print(f"| {ranks} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
