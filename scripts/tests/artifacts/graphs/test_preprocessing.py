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

from scripts.artifacts.graphs.preprocessing import (
    Interpolation,
    Transforms,
    build_preprocess_evaluate,
    build_preprocess_train,
)

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
# At 288, as for torchvision's EfficientNet-B2, only the longer side is cut.
RESIZE = {224: 256, 32: 37, 288: 288}
FILTERS: tuple[Interpolation, ...] = ("bilinear", "bicubic")
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


TRANSFORMS = {
    (size, name): Transforms(size, resize, MEAN, STD, name)
    for size, resize in RESIZE.items()
    for name in FILTERS
}
TRAIN = {
    key: _session(build_preprocess_train(one).SerializeToString())
    for key, one in TRANSFORMS.items()
}
EVALUATE = {
    key: _session(build_preprocess_evaluate(one).SerializeToString())
    for key, one in TRANSFORMS.items()
}
each_filter = pytest.mark.parametrize("filter_name", FILTERS)
each_size = pytest.mark.parametrize("size", (224, 32))


def _photograph(name: str) -> Image.Image:
    path = Path(skimage.__file__).parent / "data" / name
    return Image.open(path).convert("RGB")


def _assert_close(found: Pixels, expected: Pixels, what: object) -> None:
    """Compares normalised pixels in levels of 255."""
    levels = np.abs(found - expected) * np.array(STD, np.float32).reshape(3, 1, 1) * 255
    # Allow a thousandth for the rounding of the comparison itself.
    assert levels.max() <= MOST + 1e-3, (what, levels.max())
    assert levels.mean() <= MEAN_MOST, (what, levels.mean())


def _evaluate_reference(image: Image.Image, one: Transforms) -> Pixels:
    chain = transforms.Compose(
        [
            transforms.Resize(one.resize_size, InterpolationMode(one.interpolation)),
            transforms.CenterCrop(one.input_size),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    pixels: Pixels = chain(image).numpy()
    return pixels


def _train_reference(image: Image.Image, box: list[int], flip: bool, one: Transforms) -> Pixels:
    sides, interpolation = [one.input_size] * 2, InterpolationMode(one.interpolation)
    crop = F.resized_crop(image, *box, sides, interpolation)
    tensor = F.to_tensor(F.hflip(crop) if flip else crop)
    pixels: Pixels = F.normalize(tensor, list(MEAN), list(STD)).numpy()
    return pixels


Key = tuple[int, Interpolation]


def _check_evaluate(image: Image.Image, key: Key, what: object) -> None:
    (found,) = EVALUATE[key].run(None, {"image": np.asarray(image)})
    _assert_close(found, _evaluate_reference(image, TRANSFORMS[key]), what)


def _check_train(image: Image.Image, box: list[int], flip: bool, key: Key, what: object) -> None:
    feeds = {"image": np.asarray(image), "box": np.array(box), "flip": np.array(flip)}
    (found,) = TRAIN[key].run(None, feeds)
    _assert_close(found, _train_reference(image, box, flip, TRANSFORMS[key]), (what, box, flip))


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


@each_filter
@each_size
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs(name: str, size: int, filter_name: Interpolation) -> None:
    image, key = _photograph(name), (size, filter_name)
    _check_evaluate(image, key, name)
    for index, box in enumerate(_boxes(image, len(name))):
        _check_train(image, box, index % 2 == 1, key, name)


@each_filter
@each_size
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
def test_sizes(height: int, width: int, size: int, filter_name: Interpolation) -> None:
    image, key = _generated(height, width, height * 1000 + width), (size, filter_name)
    _check_evaluate(image, key, (height, width))
    for index, box in enumerate(_boxes(image, width)):
        _check_train(image, box, index % 2 == 0, key, (height, width))


@each_filter
def test_every_margin(filter_name: Interpolation) -> None:
    """Checks the corner of the centre crop for every remainder of the longer side."""
    for size, short in ((32, 37), (288, 288)):
        for long in range(short, short + 38):
            _check_evaluate(_generated(short, long, long), (size, filter_name), long)
            _check_evaluate(_generated(long, short, long), (size, filter_name), long)


@each_filter
def test_levels_are_clipped_between_the_axes(filter_name: Interpolation) -> None:
    """Checks black and white columns and rows: a cubic overshoots at every edge."""
    levels = np.zeros((60, 90, 3), np.uint8)
    levels[:, ::3] = levels[::4] = 255
    image = Image.fromarray(levels)
    for size in RESIZE:
        _check_evaluate(image, (size, filter_name), size)
        for box in _boxes(image, size):
            _check_train(image, box, False, (size, filter_name), size)


@each_filter
def test_equal_pixels_give_bitwise_equal_floats(filter_name: Interpolation) -> None:
    """Checks an image that needs no resize: ToTensor and Normalize must be exact."""
    image = _generated(224, 224, 1)
    for flip in (False, True):
        feeds = {
            "image": np.asarray(image),
            "box": np.array([0, 0, 224, 224]),
            "flip": np.array(flip),
        }
        key = (224, filter_name)
        (found,) = TRAIN[key].run(None, feeds)
        expected = _train_reference(image, [0, 0, 224, 224], flip, TRANSFORMS[key])
        np.testing.assert_array_equal(found, expected)


@each_filter
def test_pixels_outside_the_box_are_not_seen(filter_name: Interpolation) -> None:
    inside = np.full((60, 80, 3), 77, np.uint8)
    inside[:20] = inside[50:] = 255
    inside[:, :30] = inside[:, 70:] = 255
    feeds = {"image": inside, "box": np.array([20, 30, 30, 40]), "flip": np.array(False)}
    (found,) = TRAIN[32, filter_name].run(None, feeds)
    for channel in range(3):
        assert np.unique(found[channel]).size == 1


@each_filter
def test_deterministic_bytes(filter_name: Interpolation) -> None:
    one = TRANSFORMS[224, filter_name]

    def build() -> tuple[bytes, bytes]:
        train, evaluate = build_preprocess_train(one), build_preprocess_evaluate(one)
        return train.SerializeToString(), evaluate.SerializeToString()

    assert build() == build()


def test_resize_below_the_crop_is_refused() -> None:
    with pytest.raises(ValueError, match="expected resize_size >= input_size, got 200 and 224"):
        Transforms(224, 200, MEAN, STD, "bicubic")


@each_filter
def test_speed(filter_name: Interpolation) -> None:
    """Allows three times torchvision's time: losing the runtime's fast path costs ten times."""
    key = (224, filter_name)
    image = _photograph("coffee.png")
    levels = np.asarray(image)

    def seconds(run: Callable[[], object]) -> float:
        times = []
        for _ in range(9):
            start = time.process_time()
            run()
            times.append(time.process_time() - start)
        return min(times)

    ours = seconds(lambda: EVALUATE[key].run(None, {"image": levels}))
    theirs = seconds(lambda: _evaluate_reference(image, TRANSFORMS[key]))
    assert ours <= 3 * theirs, (ours, theirs)
