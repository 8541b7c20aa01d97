"""Compares the preprocessing graphs with torchvision's transforms on Pillow images."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import skimage
from numpy.typing import NDArray
from PIL import Image
from torchvision import transforms  # type: ignore[import-untyped]
from torchvision.transforms import InterpolationMode  # type: ignore[import-untyped]
from torchvision.transforms import functional as F

from scripts.artifacts.graphs.preprocessing import build_preprocess_evaluate, build_preprocess_train

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
RESIZE = {224: 256, 32: 37}
# Largest differences at a pixel and on average over an image, in levels of 255.
MOST, MEAN_MOST = 2.0, 0.05

Levels = NDArray[np.uint8]
Pixels = NDArray[np.float32]

PHOTOGRAPHS = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "cell.png",
    "chelsea.png",
    "coffee.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "motorcycle_left.png",
    "motorcycle_right.png",
    "page.png",
    "retina.jpg",
    "rocket.jpg",
)


def _session(model_bytes: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model_bytes, options)


TRAIN = {s: _session(build_preprocess_train(s, MEAN, STD).SerializeToString()) for s in RESIZE}
EVALUATE = {
    s: _session(build_preprocess_evaluate(s, r, MEAN, STD).SerializeToString())
    for s, r in RESIZE.items()
}


def _photograph(name: str) -> Image.Image:
    path = Path(skimage.__file__).parent / "data" / name
    return Image.open(path).convert("RGB")


def _assert_close(found: Pixels, expected: Pixels, what: object) -> None:
    """Compares normalised pixels in levels of 255."""
    levels = np.abs(found - expected) * np.array(STD, np.float32).reshape(3, 1, 1) * 255
    # Allow a thousandth for the rounding of the comparison itself.
    assert levels.max() <= MOST + 1e-3, (what, levels.max())
    assert levels.mean() <= MEAN_MOST, (what, levels.mean())


def _evaluate_reference(image: Image.Image, size: int) -> Pixels:
    chain = transforms.Compose(
        [
            transforms.Resize(RESIZE[size]),
            transforms.CenterCrop(size),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    pixels: Pixels = chain(image).numpy()
    return pixels


def _train_reference(image: Image.Image, box: list[int], flip: bool, size: int) -> Pixels:
    crop = F.resized_crop(image, *box, [size, size], InterpolationMode.BILINEAR)
    tensor = F.to_tensor(F.hflip(crop) if flip else crop)
    pixels: Pixels = F.normalize(tensor, list(MEAN), list(STD)).numpy()
    return pixels


def _check_evaluate(image: Image.Image, size: int, what: object) -> None:
    (found,) = EVALUATE[size].run(None, {"image": np.asarray(image)})
    _assert_close(found, _evaluate_reference(image, size), what)


def _check_train(image: Image.Image, box: list[int], flip: bool, size: int, what: object) -> None:
    feeds = {"image": np.asarray(image), "box": np.array(box), "flip": np.array(flip)}
    (found,) = TRAIN[size].run(None, feeds)
    _assert_close(found, _train_reference(image, box, flip, size), (what, box, flip))


def _generated(height: int, width: int, seed: int) -> Image.Image:
    """Uses noise, the hardest image to resize: neighbours differ by up to 255 levels."""
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(levels)


def _boxes(image: Image.Image, seed: int) -> Iterator[list[int]]:
    """Returns the whole image, a crop to enlarge, two of mixed scale, and five random ones."""
    rng = np.random.default_rng(seed)
    w, h = image.size
    yield [0, 0, h, w]
    yield [h // 3, w // 3, min(100, h - h // 3), min(83, w - w // 3)]
    yield [0, 0, h, max(1, w // 9)]
    yield [0, 0, max(1, h // 9), w]
    for _ in range(5):
        height, width = int(rng.integers(1, h + 1)), int(rng.integers(1, w + 1))
        top, left = rng.integers(0, h - height + 1), rng.integers(0, w - width + 1)
        yield [int(top), int(left), height, width]


@pytest.mark.parametrize("size", RESIZE)
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs(name: str, size: int) -> None:
    image = _photograph(name)
    _check_evaluate(image, size, name)
    for index, box in enumerate(_boxes(image, len(name))):
        _check_train(image, box, index % 2 == 1, size, name)


@pytest.mark.parametrize("size", RESIZE)
@pytest.mark.parametrize(
    ("height", "width"),
    [
        (1, 1),
        (2, 3),
        (31, 33),
        (101, 100),
        (223, 225),
        (224, 224),
        (256, 257),
        (255, 256),
        (257, 341),  # odd margins, which round half to even
        (333, 500),
        (375, 500),
        (500, 375),
        (97, 776),  # 1:8
        (776, 97),
        (1201, 150),  # low, then narrow: Pillow filters along the height first
        (640, 290),
    ],
)
def test_sizes(height: int, width: int, size: int) -> None:
    image = _generated(height, width, height * 1000 + width)
    _check_evaluate(image, size, (height, width))
    for index, box in enumerate(_boxes(image, width)):
        _check_train(image, box, index % 2 == 0, size, (height, width))


def test_every_margin() -> None:
    """Checks the corner of the centre crop for every remainder of the longer side."""
    for long in range(37, 75):
        _check_evaluate(_generated(37, long, long), 32, long)
        _check_evaluate(_generated(long, 37, long), 32, long)


def test_equal_pixels_give_bitwise_equal_floats() -> None:
    """Checks an image that needs no resize: ToTensor and Normalize must be exact."""
    image = _generated(224, 224, 1)
    for flip in (False, True):
        feeds = {
            "image": np.asarray(image),
            "box": np.array([0, 0, 224, 224]),
            "flip": np.array(flip),
        }
        (found,) = TRAIN[224].run(None, feeds)
        expected = _train_reference(image, [0, 0, 224, 224], flip, 224)
        np.testing.assert_array_equal(found, expected)


def test_pixels_outside_the_box_are_not_seen() -> None:
    inside = np.full((60, 80, 3), 77, np.uint8)
    inside[:20] = inside[50:] = 255
    inside[:, :30] = inside[:, 70:] = 255
    feeds = {"image": inside, "box": np.array([20, 30, 30, 40]), "flip": np.array(False)}
    (found,) = TRAIN[32].run(None, feeds)
    for channel in range(3):
        assert np.unique(found[channel]).size == 1


def test_deterministic_bytes() -> None:
    def build() -> tuple[bytes, bytes]:
        train = build_preprocess_train(224, MEAN, STD)
        evaluate = build_preprocess_evaluate(224, 256, MEAN, STD)
        return train.SerializeToString(), evaluate.SerializeToString()

    assert build() == build()


def test_resize_below_the_crop_is_refused() -> None:
    with pytest.raises(ValueError, match="expected resize >= size"):
        build_preprocess_evaluate(224, 200, MEAN, STD)


def test_speed() -> None:
    """Allows three times torchvision's time: losing the runtime's fast path costs ten times."""
    image = _photograph("coffee.png")
    levels = np.asarray(image)

    def seconds(run: Callable[[], object]) -> float:
        times = []
        for _ in range(9):
            start = time.process_time()
            run()
            times.append(time.process_time() - start)
        return min(times)

    ours = seconds(lambda: EVALUATE[224].run(None, {"image": levels}))
    theirs = seconds(lambda: _evaluate_reference(image, 224))
    assert ours <= 3 * theirs, (ours, theirs)
