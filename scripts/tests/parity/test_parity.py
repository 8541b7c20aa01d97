"""The rows of docs/results/parity.md whose check needs PyTorch: weight files, float64, crops."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scripts.parity import device_steps, float32_steps, trajectories
from scripts.parity.bridge import Bridge
from scripts.parity.pixels import (
    DRAWS,
    MEAN,
    ROUNDING,
    WORST,
    all_images,
    bicubic_artifacts,
    crop_distance,
    distributions,
    evaluated,
    evaluation_apart,
    training_apart,
    variants,
)
from scripts.parity.report import headline, table
from scripts.parity.rows import at_most, at_most_twice
from scripts.parity.runs import (
    checkpoint_weights,
    loader_pixels,
    published_model,
    python_logits,
    recorded_accuracy,
    same_top,
    train_and_export,
    weight_files_differ,
)
from scripts.project import SAMPLES
from scripts.reference.philox import random_state
from scripts.reference.projections import project
from scripts.reference.torch_training import evaluate, make_model, train

LOGITS = 1e-4


@pytest.fixture(scope="module")
def bridge() -> Iterator[Bridge]:
    with Bridge() as process:
        yield process


@pytest.fixture(scope="module")
def run(bridge: Bridge, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trains ResNet-18 for two steps on six images."""
    folder = tmp_path_factory.mktemp("run")
    for split, count in (("train", 3), ("val", 2)):
        for name in ("brick", "gravel"):
            (folder / "data" / split / name).mkdir(parents=True)
            for path in sorted((SAMPLES / split / name).iterdir())[:count]:
                shutil.copy(path, folder / "data" / split / name)
    train_and_export("resnet18", folder / "data", folder / "run", 1, "--workers", "1")
    return folder


def test_row_6_a_checkpoint_in_torchvision(bridge: Bridge, run: Path) -> None:
    weights = checkpoint_weights(run / "run")
    model = published_model("resnet18", weights)
    assert int(model.state_dict()["bn1.num_batches_tracked"]) == 2
    files = sorted((run / "data/val").glob("*/*"))
    labels = torch.tensor([path.parent.name == "gravel" for path in files])
    images = loader_pixels(bridge, "resnet18", files)
    expected = evaluate(model, images)
    found = bridge.evaluate("resnet18", weights, images)
    assert (found - expected).abs().max() <= LOGITS
    assert (python_logits(run / "run/model.onnx", images) - expected).abs().max() <= LOGITS
    # Row 5 uses torchvision's own pixels.
    from_pillow = evaluate(model, torch.stack([evaluated(path) for path in files]))
    accuracy = (from_pillow.argmax(1) == labels).double().mean()
    assert recorded_accuracy(run / "run") == accuracy
    assert same_top(found, from_pillow)


def test_row_6_needs_every_tensor(run: Path) -> None:
    weights = checkpoint_weights(run / "run")
    del weights["layer1.0.bn1.running_var"]
    with pytest.raises(RuntimeError, match=r"Missing key.*layer1\.0\.bn1\.running_var"):
        published_model("resnet18", weights)


def test_row_6_this_project_reads_pytorchs_files(bridge: Bridge, tmp_path: Path) -> None:
    model = published_model("resnet18", random_state("resnet18", 2, seed=1))
    assert weight_files_differ(bridge, "resnet18", model, tmp_path) == []


def test_row_4_in_float64(bridge: Bridge, tmp_path: Path) -> None:
    data = trajectories.write_data(tmp_path / "data")
    start = random_state("tiny", 2, seed=0)
    bridge.open("tiny", 2)
    bridge.set_state(start)
    batches = trajectories.drive(bridge, data, seed=0).batches
    losses, state = trajectories.float64_state(batches, start, 2)
    model = make_model("tiny", 2, seed=0)
    model.load_state_dict(start)

    def worst(rates: list[float]) -> float:
        reference = train(model, batches, rates, dtype=torch.double)
        found = trajectories.distance(trajectories.doubles(losses), state, reference, start)
        return max(found.losses, found.weights, found.statistics)

    assert worst(trajectories.RATES) <= 1e-6
    # Change the last step's learning rate of 1e-6 by 1 %.
    *others, last = trajectories.RATES
    assert worst([*others, last * 1.01]) > 1e-6


def test_row_2_the_crop_sampler(bridge: Bridge) -> None:
    bound = 1.95 * (2 / DRAWS) ** 0.5
    assert 0 < crop_distance(bridge, 500, 375) <= bound
    crops = bridge.crops(500, 375, 100)
    area = distributions(crops)["area"]
    assert area.min() >= 0.07 * 500 * 375 and area.max() <= 500 * 375


def test_rows_1_and_2_bicubic(bridge: Bridge, tmp_path: Path) -> None:
    images, artifacts = variants(tmp_path), bicubic_artifacts(tmp_path)
    crops, enlarging = training_apart(bridge, images, artifacts, 1)
    assert 0 < enlarging < len(crops)
    for apart in (evaluation_apart(bridge, images, artifacts), crops):
        assert max(float(image.max()) for image in apart) <= WORST + ROUNDING
        assert max(float(image.mean()) for image in apart) <= MEAN


def test_the_images_of_rows_1_and_2(tmp_path: Path) -> None:
    images = all_images(tmp_path)
    assert len(images) >= 10
    assert {path.suffix for path in images} == {".png", ".jpg", ".bmp", ".ppm", ".pgm", ".gif"}


def test_a_missed_bound_is_said() -> None:
    missed = at_most("4", "losses", float("nan"), 1e-6)
    held = at_most_twice("3", "gradient", 2.0, 1.0, "PyTorch's")
    assert held.holds and not missed.holds
    assert not at_most_twice("3", "gradient", 2.1, 1.0, "PyTorch's").holds
    rows = [held, missed, replace(held, number="8", holds=None)]
    assert "| 4 | losses | ≤ 1e-06 | nan | **missed** |" in table(rows)
    expected = "Of 2 measured bounds 1 hold and 1 are missed (in row 4); 1 could not be measured"
    assert headline(rows) == f"{expected} here."
    unbound = replace(held, bound="", holds=None, judged=False)
    assert headline([*rows, unbound]) == headline(rows)
    assert table([unbound]).endswith("| no bound |\n")


def test_a_device_is_judged_by_row_3(capsys: pytest.CaptureFixture[str]) -> None:
    code = device_steps.main(["cpu", "--seeds", "2"])
    printed = capsys.readouterr().out
    assert printed.count("seed ") == 2
    # Leave out the gradient's bound: it is for the median of more seeds than these.
    assert printed.count("| 3 |") == 3 and printed.count("| holds |") >= 2
    assert (code == 0) == ("**missed**" not in printed)


def test_projections_tell_distances() -> None:
    generator = torch.Generator().manual_seed(0)
    tensor = torch.randn(50, 7, generator=generator)
    other = tensor + 0.01 * torch.randn(50, 7, generator=generator)
    squares = []
    for number in range(60):
        (norm, *found), (_, *expected) = project(tensor, number), project(other, number)
        assert norm == pytest.approx(float(tensor.norm()))
        squares += [(a - b) ** 2 for a, b in zip(found, expected, strict=True)]
    distance = (sum(squares) / len(squares)) ** 0.5
    assert distance == pytest.approx(float((tensor - other).norm()), rel=0.2)


def test_float32_steps_are_judged_with_one_thread_and_with_two(
    bridge: Bridge, tmp_path: Path
) -> None:
    data = trajectories.write_data(tmp_path / "data")
    with Bridge() as other:
        (found,) = float32_steps.measure({1: other, 2: bridge}, data, "tiny", [0])
    for figure in float32_steps.FIGURES:
        assert 0 < getattr(found.ours_torch, figure) < 1e-3
        assert 0 < found.ratio(figure) < 3
    far = replace(found.ours[1], losses=10 * found.torch[1].losses)
    rows = list(float32_steps.lines("tiny", 1, replace(found, ours={**found.ours, 1: far})))
    assert [row.holds for row in rows if "from float64: losses" in row.what] == [False]
    assert [row.judged for row in rows] == [True] * 3 + [False] * 3
