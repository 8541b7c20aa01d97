"""Makes samples/textures, the two-class data set of ``npm run demo``.

Crops of two photographs that scikit-image ships in its wheel, ``brick`` and ``gravel`` (both gray,
512 x 512, Creative Commons CC0). Training crops come from the left part of each photograph,
validation crops from the right part, so that no pixel is in both. The same call gives the same
bytes with the versions of ``requirements.lock``.

Run it with ``node scripts/python.mjs -m scripts.make_samples [--out DIR]``.
"""

import argparse
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image

DEFAULT_OUT = Path(__file__).resolve().parent.parent / "samples"
CLASSES = ("brick", "gravel")
# First column of the validation part; training crops end left of it.
SPLIT = 352
SIDE = 512
# Crops are squares of this side in pixels, the upper bound included.
MIN_CROP, MAX_CROP = 112, 160
COUNTS = {"train": 48, "val": 20}
SEED = 20
JPEG_QUALITY = 90


@dataclass(frozen=True)
class Crop:
    """A square of a photograph: ``left`` and ``top`` are its first column and row, in pixels."""

    photograph: str
    left: int
    top: int
    side: int


def photograph(name: str) -> NDArray[np.uint8]:
    """The photograph ``name`` of scikit-image, uint8 [512, 512]."""
    image = np.asarray(getattr(skimage.data, name)(), dtype=np.uint8)
    if image.shape != (SIDE, SIDE):
        raise ValueError(
            f"expected scikit-image's {name} to be {SIDE} x {SIDE} and gray, found shape "
            f"{image.shape}; install the version that requirements.lock names"
        )
    return image


def plan(seed: int = SEED) -> dict[str, Crop]:
    """Where every picture is cut: file name relative to ``textures/`` -> crop."""
    generator = np.random.Generator(np.random.PCG64(seed))
    crops: dict[str, Crop] = {}
    for split, count in COUNTS.items():
        first, last = (0, SPLIT) if split == "train" else (SPLIT, SIDE)
        for name in CLASSES:
            for index in range(count):
                side = int(generator.integers(MIN_CROP, MAX_CROP, endpoint=True))
                left = int(generator.integers(first, last - side, endpoint=True))
                top = int(generator.integers(0, SIDE - side, endpoint=True))
                crops[f"{split}/{name}/{name}-{index:02}.jpg"] = Crop(name, left, top, side)
    return crops


def write(out: Path, seed: int = SEED) -> None:
    """Writes ``out/textures`` (replaced as a whole) and ``out/crops.json``, the list of crops."""
    crops = plan(seed)
    photographs = {name: photograph(name) for name in CLASSES}
    shutil.rmtree(out / "textures", ignore_errors=True)
    for file, crop in crops.items():
        target = out / "textures" / file
        target.parent.mkdir(parents=True, exist_ok=True)
        rows = slice(crop.top, crop.top + crop.side)
        columns = slice(crop.left, crop.left + crop.side)
        picture = Image.fromarray(photographs[crop.photograph][rows, columns])
        picture.save(target, quality=JPEG_QUALITY, optimize=True)
    listing = {
        "validationFromColumn": SPLIT,
        "crops": {file: vars(crop) for file, crop in sorted(crops.items())},
    }
    (out / "crops.json").write_text(json.dumps(listing, indent=2) + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> None:
    """Command line: writes the data set and prints how many pictures there are."""
    parser = argparse.ArgumentParser(description="Make the demo's two-class data set.")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="folder (default: samples)")
    out: Path = parser.parse_args(arguments).out
    write(out)
    files = sorted((out / "textures").rglob("*.jpg"))
    size = sum(file.stat().st_size for file in files)
    print(f"{len(files)} pictures, {size / 1e6:.2f} MB, in {out / 'textures'}")


if __name__ == "__main__":
    main()
