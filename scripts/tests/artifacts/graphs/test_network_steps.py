"""Compares whole steps of many networks with PyTorch in float64, on small images.

The masks of Dropout and stochastic depth are drawn once and given to both sides.
"""

from __future__ import annotations

import numpy as np
import pytest

from scripts.reference.training_step import (
    DOUBLE,
    Settings,
    feeds,
    make_model,
    random_batches,
    run_graph,
    run_torch,
    training_graph,
)

BOUND = 1e-9

CONSTANTS = 1e-6
"""Bound of networks whose constants are float32 in the exported file, such as the slope 1/6 of
HardSigmoid and the scale of attention: they are up to 6e-8 from PyTorch's numbers."""

ZERO = 1e-5
"""A gradient below this share of the largest one is compared with that share.

BatchNorm takes away what a bias before it adds. The gradient of such a bias is 0 and what is
computed is its rounding, which has no relative error.
"""


def worst_tensor(arch: str, size: int, graph: str, batch: int = 2) -> tuple[float, str]:
    """Returns the largest relative error of loss, logits, gradients, weights and statistics."""
    settings = Settings(weight_decay=0.01, graph=graph)
    network, model = training_graph(arch, size, DOUBLE, graph)
    module = make_model(arch, 3, seed=1)
    batches = random_batches(1, batch, size, 3, seed=2)
    found = run_graph(model, feeds(model, network, module, batches, settings))
    expected = run_torch(module, network, batches, settings)
    if graph == "trainHead":
        expected = {name: array for name, array in expected.items() if name in found}
    assert set(found) == set(expected)
    norms = {name: float(np.linalg.norm(array)) for name, array in expected.items()}
    largest = max(norm for name, norm in norms.items() if name.startswith("momentum."))
    return max(
        (float(np.linalg.norm(found[name] - array)) / max(norms[name], ZERO * largest), name)
        for name, array in expected.items()
    )


def test_one_step() -> None:
    """Uses a network of convolutions with biases, whose head is a convolution."""
    error, name = worst_tensor("squeezenet1_1", 64, "train")
    assert error <= BOUND, name


@pytest.mark.parametrize("arch", ["squeezenet1_1", "mobilenet_v3_small"])
def test_one_step_of_the_head(arch: str) -> None:
    """Uses networks with Dropout before the head, and one whose features are maps."""
    error, name = worst_tensor(arch, 64, "trainHead")
    assert error <= BOUND, name


@pytest.mark.long
@pytest.mark.parametrize(
    ("arch", "size", "bound"),
    [
        ("mobilenet_v3_small", 64, CONSTANTS),
        ("shufflenet_v2_x1_0", 64, BOUND),
        ("timm/vit_tiny_patch16_224", 224, CONSTANTS),
    ],
)
def test_one_step_of_large_networks(arch: str, size: int, bound: float) -> None:
    """Takes sizes at which the smallest maps have several pixels, as BatchNorm needs them."""
    batch = 1 if size == 224 else 2
    error, name = worst_tensor(arch, size, "train", batch)
    assert error <= bound, name
