"""A data set of the tutorial's size: 244 training and 152 validation JPEGs of 500x375, two classes.

The images are crops of scikit-image's photographs. Only their size and the work to decode them
matter here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

COUNTS = {"train": 244, "val": 152}
SIZE = (500, 375)


def make_job_data(folder: Path, counts: dict[str, int] | None = None) -> Path:
    """Writes ``train/a``, ``train/b``, ``val/a`` and ``val/b``, with the same images every time."""
    generator = np.random.default_rng(0)
    photographs = [skimage.data.astronaut, skimage.data.coffee]
    sources = [
        Image.fromarray(photograph())  # type: ignore[no-untyped-call]
        for photograph in photographs
    ]
    for split, count in (counts or COUNTS).items():
        for number in range(count):
            label = number % 2
            source = sources[label]
            widest = min(source.width, source.height * SIZE[0] // SIZE[1])
            width = int(generator.integers(200, widest))
            height = width * SIZE[1] // SIZE[0]
            left = int(generator.integers(0, source.width - width + 1))
            top = int(generator.integers(0, source.height - height + 1))
            crop = source.crop((left, top, left + width, top + height)).resize(SIZE)
            path = folder / split / "ab"[label] / f"{number:04d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            crop.save(path, quality=90)
    return folder
