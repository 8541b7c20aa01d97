"""Row 3: the gradients of one step."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from scripts.parity.one_step import StepErrors, Summary, step_errors
from scripts.parity.rows import Context, Row, at_most, at_most_twice
from scripts.reference.training_step import (
    DOUBLE,
    Settings,
    feeds,
    make_model,
    random_batches,
    relative_error,
    run_graph,
    run_torch,
    training_graph,
)

BATCHES = (1, 3, 4, 16)
CLASSES = (2, 3, 10)
WEIGHT_DECAYS = (0.0, 0.01)
SEEDS = range(16)


def worst_tensor(batch: int, classes: int, weight_decay: float) -> float:
    """Returns the largest relative error of a tensor after one float64 step of the tiny network.

    The tensors are losses, logits, gradients (as momentum), weights and running statistics.
    """
    network, graph = training_graph("tiny", 32, DOUBLE)
    model = make_model("tiny", classes, seed=1)
    data = random_batches(1, batch, 32, classes, seed=2)
    settings = Settings(weight_decay=weight_decay)
    found = run_graph(graph, feeds(graph, network, model, data, settings))
    expected = run_torch(model, network, data, settings)
    return max(relative_error(found[name], array) for name, array in expected.items())


def rows(context: Context) -> Iterator[Row]:
    """Measures row 3."""
    cases = list(product(BATCHES, CLASSES, WEIGHT_DECAYS))
    worst = max(worst_tensor(*case) for case in cases)
    what = (
        f"one step, float64, tiny network, worst tensor of {len(cases)} cases "
        "(batch 1, 3, 4, 16; 2, 3, 10 classes; weight decay 0, 0.01)"
    )
    yield at_most("3", what, worst, 1e-9)
    for arch in context.networks:
        yield from whole_steps(arch, step_errors(context.bridge, SEEDS, arch))


def whole_steps(arch: str, errors: list[StepErrors]) -> Iterator[Row]:
    """Returns the lines for float32 steps of one network."""
    summary = Summary.of(errors)
    what = f"one step, float32, {arch}"
    yield at_most_twice(
        "3",
        f"{what}, whole gradient against float64, median of {len(errors)} seeds",
        summary.gradient,
        summary.torch_gradient,
        "PyTorch float32's",
    )
    yield at_most("3", f"{what}: worst loss against float64", summary.loss, 1e-5)
    worst = f"{what}: worst running statistic against float64"
    yield at_most("3", worst, summary.statistics, 1e-4)
