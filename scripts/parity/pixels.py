"""Rows 1 and 2: the loader's pixels and crops against torchvision's on Pillow."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import skimage
import torch
from PIL import Image
from scipy.stats import ks_2samp  # type: ignore[import-untyped]
from torchvision import transforms  # type: ignore[import-untyped]
from torchvision.transforms import InterpolationMode  # type: ignore[import-untyped]
from torchvision.transforms import functional as F

from scripts.artifacts.graphs.preprocessing import (
    Transforms,
    build_preprocess_evaluate,
    build_preprocess_train,
)
from scripts.artifacts.manifest import graph_entry
from scripts.artifacts.stored import MANIFEST, read_manifest, write_stored
from scripts.parity.bridge import Bridge
from scripts.parity.rows import Context, Row, at_most
from scripts.project import COMMITTED

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


def bicubic_artifacts(folder: Path) -> Path:
    """Writes ResNet-18's artifacts with the transforms of EfficientNet-Lite0; returns their folder.

    Its network does not matter to the pixels.
    """
    found = Transforms(224, 256, [0.5] * 3, [0.5] * 3, "bicubic")
    made = shutil.copytree(COMMITTED["resnet18"], folder / "bicubic")
    manifest = read_manifest(made)
    for key, model in (
        ("preprocessTrain", build_preprocess_train(found)),
        ("preprocessEvaluate", build_preprocess_evaluate(found)),
    ):
        content = model.SerializeToString(deterministic=True)
        entry = graph_entry(manifest["graphs"][key]["file"], content)
        write_stored(made / entry["file"], content)
        manifest["graphs"][key] = entry
    manifest["preprocessing"] |= {
        "mean": found.mean,
        "std": found.std,
        "interpolation": found.interpolation,
    }
    write_stored(made / MANIFEST, json.dumps(manifest).encode())
    return made


def _settings(artifacts: Path) -> Any:
    return read_manifest(artifacts)["preprocessing"]


def evaluated(path: Path, artifacts: Path = COMMITTED["resnet18"]) -> torch.Tensor:
    """Applies torchvision's evaluation transforms: normalised pixels [3, S, S]."""
    found = _settings(artifacts)
    chain = transforms.Compose(
        [
            transforms.Resize(found["resizeSize"], InterpolationMode(found["interpolation"])),
            transforms.CenterCrop(found["inputSize"]),
            transforms.ToTensor(),
            transforms.Normalize(found["mean"], found["std"]),
        ]
    )
    pixels: torch.Tensor = chain(Image.open(path).convert("RGB"))
    return pixels


def cropped(
    path: Path, crop: torch.Tensor, artifacts: Path = COMMITTED["resnet18"]
) -> torch.Tensor:
    """Applies torchvision's training transforms with a given crop.

    Args:
        crop: top, left, height, width, flip.
    """
    found = _settings(artifacts)
    size, interpolation = found["inputSize"], InterpolationMode(found["interpolation"])
    *box, flip = (int(value) for value in crop)
    image = F.resized_crop(Image.open(path).convert("RGB"), *box, [size, size], interpolation)
    pixels: torch.Tensor = F.to_tensor(F.hflip(image) if flip else image)
    normalised: torch.Tensor = F.normalize(pixels, found["mean"], found["std"])
    return normalised


def evaluation_apart(bridge: Bridge, images: list[Path], artifacts: Path) -> list[torch.Tensor]:
    """Returns how far the loader's pixels are from torchvision's, in levels of 255, by image."""
    found = bridge.preprocess(artifacts, images)
    expected = [evaluated(path, artifacts) for path in images]
    return [
        _levels_apart(found[f"pixels.{index}"], pixels, artifacts)
        for index, pixels in enumerate(expected)
    ]


def training_apart(
    bridge: Bridge, images: list[Path], artifacts: Path, epochs: int
) -> tuple[list[torch.Tensor], int]:
    """Returns the same for one crop per image and epoch, and the number of enlarged crops."""
    apart, enlarging = [], 0
    for epoch in range(epochs):
        found = bridge.preprocess(artifacts, images, "train", seed=1, epoch=epoch)
        for index, path in enumerate(images):
            crop = found[f"crop.{index}"]
            enlarging += int(crop[2:4].min()) < 224
            expected = cropped(path, crop, artifacts)
            apart.append(_levels_apart(found[f"pixels.{index}"], expected, artifacts))
    return apart, enlarging


def _levels_apart(found: torch.Tensor, expected: torch.Tensor, artifacts: Path) -> torch.Tensor:
    deviation = torch.tensor(_settings(artifacts)["std"]).reshape(3, 1, 1)
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
    folders = {
        "bilinear": COMMITTED["resnet18"],
        "bicubic": bicubic_artifacts(context.folder),
    }
    count = f"{len(images)} images, {len(PHOTOGRAPHS)} of them photographs as published"
    for name, artifacts in folders.items():
        apart = evaluation_apart(context.bridge, images, artifacts)
        yield from _pixel_rows("1", f"evaluation preprocessing, {name}, {count}", apart)
    for name, artifacts in folders.items():
        apart, enlarging = training_apart(context.bridge, images, artifacts, EPOCHS)
        crops = f"{len(apart)} crops, {enlarging} of them enlarged"
        yield from _pixel_rows("2", f"training preprocessing, {name}, {crops}", apart)

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
