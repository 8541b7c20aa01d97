"""One float32 step of a network: this project and PyTorch float32, against PyTorch float64."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from statistics import median

import torch

from scripts.parity.bridge import Bridge, Provider
from scripts.reference.masks import random_masks
from scripts.reference.philox import manifest
from scripts.reference.torch_training import (
    flat,
    make_model,
    random_batch,
    relative_error,
    train,
)

LR = 0.01
CASES = [(classes, batch) for classes in (2, 10) for batch in (4, 3, 1)]
"""(classes, batch); the seeds take them in turn."""


@dataclass(frozen=True)
class StepErrors:
    """Relative errors of one step against PyTorch float64.

    Attributes:
        gradient: error of all parameters' gradients as one vector.
        torch_gradient: the same error of PyTorch float32.
        statistics: error of the worst running statistic.
    """

    seed: int
    classes: int
    batch: int
    gradient: float
    torch_gradient: float
    loss: float
    statistics: float


def step_errors(
    bridge: Bridge,
    seeds: Iterable[int],
    arch: str = "resnet18",
    weight_decay: float = 0.0,
    provider: Provider = "cpu",
) -> list[StepErrors]:
    """Takes one step from random weights on random images, for each seed.

    Args:
        weight_decay: of this project's step only, so that a test can make the checks fail.
    """
    found: list[StepErrors] = []
    built = manifest(arch)
    size = built["preprocessing"]["inputSize"]
    statistics = [entry["name"] for entry in built["buffers"]]
    # Sort by class count, so that the bridge opens one session per class count, not per seed.
    for seed in sorted(seeds, key=lambda seed: CASES[seed % len(CASES)]):
        classes, batch = CASES[seed % len(CASES)]
        if not found or found[-1].classes != classes:
            bridge.open(arch, classes, provider)
        model = make_model(arch, classes, seed)
        parameters = [name for name, _ in model.named_parameters()]
        masks = random_masks(built.get("masks"), batch, seed)
        data = replace(random_batch(batch, size, classes, seed), masks=masks)
        exact = train(model, [data], [LR], dtype=torch.double)
        single = train(model, [data], [LR])
        bridge.set_state(model.state_dict())
        results = bridge.step(
            data.images[None],
            data.labels[None],
            [LR],
            masks=None if masks is None else masks.values[None],
            weight_decay=weight_decay,
        )
        state = bridge.get_state()
        momentum = {name: state[f"momentum.{name}"] for name in parameters}
        reference = flat(exact.momentum, parameters)
        for name in state:
            if name.endswith("num_batches_tracked"):
                assert state[name] == exact.state[name], name
        found.append(
            StepErrors(
                seed=seed,
                classes=classes,
                batch=batch,
                gradient=relative_error(flat(momentum, parameters), reference),
                torch_gradient=relative_error(flat(single.momentum, parameters), reference),
                loss=abs(float(results["losses"][0]) / exact.losses[0] - 1),
                statistics=max(relative_error(state[n], exact.state[n]) for n in statistics),
            )
        )
    return found


@dataclass(frozen=True)
class Summary:
    """Errors over all seeds: medians of the gradient's errors, maxima of the others."""

    gradient: float
    torch_gradient: float
    loss: float
    statistics: float

    @staticmethod
    def of(errors: list[StepErrors]) -> Summary:
        """Summarises the result of :func:`step_errors`."""
        return Summary(
            gradient=median(error.gradient for error in errors),
            torch_gradient=median(error.torch_gradient for error in errors),
            loss=max(error.loss for error in errors),
            statistics=max(error.statistics for error in errors),
        )
