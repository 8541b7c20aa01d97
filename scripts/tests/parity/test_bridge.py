"""Compares this project with PyTorch: one float32 step of ResNet-18, and the exported model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from scripts.parity.bridge import Bridge, BridgeError
from scripts.parity.one_step import StepErrors, Summary, step_errors
from scripts.reference.torch_training import evaluate, make_model, random_batch

SEEDS = range(16)
# Bound as a multiple of PyTorch float32's own error against float64; both are medians over the
# seeds. Errors of single seeds vary widely, because a ReLU or a pool may decide the other way.
GRADIENT_RATIO = 2
LOSS = 1e-5
STATISTICS = 1e-4
LOGITS = 1e-4


@pytest.fixture(scope="module")
def bridge() -> Iterator[Bridge]:
    with Bridge() as process:
        yield process


@pytest.fixture(scope="module")
def errors(bridge: Bridge) -> list[StepErrors]:
    return step_errors(bridge, SEEDS)


def test_gradients_are_as_good_as_pytorchs(errors: list[StepErrors]) -> None:
    assert {error.seed for error in errors} == set(SEEDS)
    assert {(error.classes, error.batch) for error in errors} == {
        (classes, batch) for classes in (2, 10) for batch in (1, 3, 4)
    }
    summary = Summary.of(errors)
    assert 0 < summary.torch_gradient < 0.01
    assert 0 < summary.gradient <= GRADIENT_RATIO * summary.torch_gradient


def test_losses_and_running_statistics(errors: list[StepErrors]) -> None:
    for error in errors:
        assert error.loss <= LOSS, error
        assert 0 < error.statistics <= STATISTICS, error


def test_a_wrong_gradient_is_noticed(bridge: Bridge) -> None:
    """Gives weight decay to this project only, which adds weights / 1000 to the gradient."""
    summary = Summary.of(step_errors(bridge, [0], weight_decay=1e-3))
    assert summary.gradient > GRADIENT_RATIO * summary.torch_gradient


@pytest.mark.parametrize("classes", [2, 10])
def test_exported_model_evaluation_graph_and_pytorch_agree(
    bridge: Bridge, classes: int, tmp_path: Path
) -> None:
    model = make_model("resnet18", classes, seed=3)
    with torch.no_grad():
        for seed in range(4):
            # Use running statistics that differ from the initial ones.
            model(random_batch(8, 64, classes, seed).images)
    images = random_batch(3, 224, classes, seed=5).images
    expected = evaluate(model.double(), images.double())
    state = model.float().state_dict()
    evaluated = bridge.evaluate("resnet18", state, images)
    path = tmp_path / "model.onnx"
    bridge.export("resnet18", state, [str(index) for index in range(classes)], path)
    exported = bridge.run_model(path, images)
    assert expected.abs().max() > 0.1
    assert (exported - evaluated).abs().max() <= LOGITS
    assert (evaluated - expected).abs().max() <= LOGITS
    assert (exported - expected).abs().max() <= LOGITS


def test_failures_are_reported(bridge: Bridge) -> None:
    bridge.open("tiny", 2)
    with pytest.raises(BridgeError, match=r"expected the tensor conv1\.weight, found none"):
        bridge.set_state({"fc.weight": torch.zeros(2, 32)})
