"""Rows 1 and 2: the loader's pixels and crops against torchvision's on Pillow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import skimage
import torch
from PIL import Image
from scipy.stats import ks_2samp  # type: ignore[import-untyped]
from torchvision import transforms  # type: ignore[import-untyped]
from torchvision.transforms import functional as F  # type: ignore[import-untyped]

from scripts.parity.bridge import Bridge
from scripts.parity.rows import Context, Row, at_most
from scripts.reference.philox import manifest

WORST, MEAN = 2.0, 0.05
"""Largest differences allowed at a pixel and on average over an image, in levels of 255."""
ROUNDING = 1e-3
"""Rounding error of the comparison itself, which reverses the normalisation in float32."""
DRAWS = 20_000
CROP_SIZES = ((500, 375), (224, 900), (60, 47))
EPOCHS = 4
"""Number of crops per photograph."""

PHOTOGRAPHS = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "cell.png",
    "chelsea.png",
    "clock_motion.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "motorcycle_right.png",
    "page.png",
    "retina.jpg",
    "rocket.jpg",
)


def photograph(name: str) -> Image.Image:
    """Opens a photograph of scikit-image's wheel."""
    return Image.open(Path(skimage.__file__).parent / "data" / name)


def variants(folder: Path) -> list[Path]:
    """Writes the photographs in other formats and shapes to ``folder``."""
    astronaut = photograph("astronaut.png").convert("RGB")
    ramp = np.tile(np.linspace(0, 255, astronaut.width).astype(np.uint8), (astronaut.height, 1))
    rgba = astronaut.copy()
    rgba.putalpha(Image.fromarray(ramp))
    chelsea, coffee = photograph("chelsea.png"), photograph("coffee.png")
    rocket, retina = photograph("rocket.jpg"), photograph("retina.jpg")
    made: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "astronaut-rgba.png": (rgba, {}),
        "chelsea-odd.jpg": (chelsea.crop((0, 0, 451, 299)), {"quality": 88, "subsampling": 2}),
        "chelsea-small.png": (chelsea.resize((97, 63)), {}),
        "coffee-gray.jpg": (coffee.convert("L"), {"quality": 90}),
        "coffee-wide.png": (coffee.crop((0, 150, 600, 225)), {}),
        "astronaut-tall.jpg": (astronaut.crop((200, 0, 264, 512)), {"quality": 92}),
        "rocket-small.jpg": (rocket.resize((131, 219)), {"quality": 80, "subsampling": 1}),
        "retina-palette.png": (retina.resize((353, 351)).quantize(64), {}),
        "chelsea.bmp": (chelsea, {}),
        "retina-palette.bmp": (retina.resize((353, 351)).quantize(64), {}),
        "rocket.ppm": (rocket, {}),
        "coffee.pgm": (coffee.convert("L"), {}),
        "astronaut.gif": (astronaut.quantize(256), {"transparency": 7}),
    }
    for name, (image, options) in made.items():
        image.save(folder / name, **options)
    return [folder / name for name in made]


def all_images(folder: Path) -> list[Path]:
    """Returns the photographs and their variants."""
    data = Path(skimage.__file__).parent / "data"
    return [*(data / name for name in PHOTOGRAPHS), *variants(folder)]


def evaluated(path: Path, arch: str = "resnet18") -> torch.Tensor:
    """Applies torchvision's evaluation transforms: normalised pixels [3, S, S]."""
    found = manifest(arch)["preprocessing"]
    chain = transforms.Compose(
        [
            transforms.Resize(found["resizeSize"]),
            transforms.CenterCrop(found["inputSize"]),
            transforms.ToTensor(),
            transforms.Normalize(found["mean"], found["std"]),
        ]
    )
    pixels: torch.Tensor = chain(Image.open(path).convert("RGB"))
    return pixels


def cropped(path: Path, crop: torch.Tensor, arch: str = "resnet18") -> torch.Tensor:
    """Applies torchvision's training transforms with a given crop.

    Args:
        crop: top, left, height, width, flip.
    """
    found = manifest(arch)["preprocessing"]
    size = found["inputSize"]
    *box, flip = (int(value) for value in crop)
    image = F.resized_crop(Image.open(path).convert("RGB"), *box, [size, size])
    pixels: torch.Tensor = F.to_tensor(F.hflip(image) if flip else image)
    normalised: torch.Tensor = F.normalize(pixels, found["mean"], found["std"])
    return normalised


def levels_apart(found: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    """Returns the distances of normalised pixels, in levels of 255."""
    deviation = torch.tensor(manifest("resnet18")["preprocessing"]["std"]).reshape(3, 1, 1)
    return (found - expected).abs() * deviation * 255


def torchvision_crops(width: int, height: int, draws: int, seed: int = 0) -> torch.Tensor:
    """Draws crops [draws, 4] with ``RandomResizedCrop.get_params``."""
    torch.manual_seed(seed)
    image = torch.empty(1, 1, 1).expand(3, height, width)
    draw = transforms.RandomResizedCrop.get_params
    return torch.tensor([draw(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(draws)])


def distributions(crops: torch.Tensor) -> dict[str, torch.Tensor]:
    """Computes area and aspect ratio of crops (top, left, height, width)."""
    height, width = crops[:, 2].double(), crops[:, 3].double()
    return {"area": height * width, "aspect ratio": width / height}


def crop_distance(bridge: Bridge, width: int, height: int) -> float:
    """Returns the largest Kolmogorov-Smirnov distance of the loader's crops from torchvision's."""
    ours = distributions(bridge.crops(width, height, DRAWS))
    theirs = distributions(torchvision_crops(width, height, DRAWS))
    return max(float(ks_2samp(ours[name], theirs[name]).statistic) for name in ours)


def rows(context: Context) -> Iterator[Row]:
    """Measures rows 1 and 2."""
    images = all_images(context.folder)
    found = context.bridge.preprocess("resnet18", images)
    apart = [levels_apart(found[f"pixels.{i}"], evaluated(p)) for i, p in enumerate(images)]
    count = f"{len(images)} images, {len(PHOTOGRAPHS)} of them photographs as published"
    yield from _pixel_rows("1", f"evaluation preprocessing, {count}", apart)

    apart, enlarging = [], 0
    for epoch in range(EPOCHS):
        found = context.bridge.preprocess("resnet18", images, "train", seed=1, epoch=epoch)
        for index, path in enumerate(images):
            crop = found[f"crop.{index}"]
            enlarging += int(crop[2:4].min()) < 224
            apart.append(levels_apart(found[f"pixels.{index}"], cropped(path, crop)))
    what = f"training preprocessing, {len(apart)} crops, {enlarging} of them enlarged"
    yield from _pixel_rows("2", what, apart)

    # In 99.9 % of cases two samples of one distribution are closer than this.
    bound = 1.95 * (2 / DRAWS) ** 0.5
    distance = max(crop_distance(context.bridge, *size) for size in CROP_SIZES)
    what = f"crop sampler: area and aspect ratio, {DRAWS:,} draws, three image sizes (KS distance)"
    yield at_most("2", what, distance, round(bound, 4))


def _pixel_rows(number: str, what: str, apart: list[torch.Tensor]) -> Iterator[Row]:
    worst = max(float(image.max()) for image in apart)
    mean = max(float(image.mean()) for image in apart)
    yield Row(
        number,
        f"{what}: levels of 255 at the worst pixel",
        f"≤ {WORST:g}",
        f"{worst:.2f}",
        worst <= WORST + ROUNDING,
    )
    yield Row(
        number,
        f"{what}: levels on average, worst image",
        f"≤ {MEAN:g}",
        f"{mean:.4f}",
        mean <= MEAN,
    )
