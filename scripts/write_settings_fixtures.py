"""What PyTorch's losses, schedules and SGD give: the driver's ``test/fixtures/settings.json``.

``python -m scripts.write_settings_fixtures`` writes the file; a test compares it with PyTorch.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.nn import functional
from torch.optim import lr_scheduler

from scripts.parity.philox import random_images, random_state
from scripts.parity.projections import project_all
from scripts.parity.torch_reference import Batch, Trained, flat, make_model, relative_error, train

FILE = Path(__file__).resolve().parents[1] / "test/fixtures/settings.json"
LOSSES: list[dict[str, Any]] = [
    {"weight": None, "smoothing": 0.0},
    {"weight": None, "smoothing": 0.1},
    {"weight": [0.5, 2.0, 1.25], "smoothing": 0.0},
    {"weight": [0.5, 2.0, 1.25], "smoothing": 0.3},
    {"weight": [3.0, 0.25, 1.0], "smoothing": 1.0},
]
SCHEDULES: list[dict[str, Any]] = [
    {"schedule": "step", "warmup": 0, "epochs": 16},
    {"schedule": "step", "warmup": 3, "epochs": 16},
    {"schedule": "cosine", "warmup": 0, "epochs": 10},
    {"schedule": "cosine", "warmup": 4, "epochs": 12},
    {"schedule": "constant", "warmup": 2, "epochs": 5},
]
SGD: list[dict[str, Any]] = [
    {"freeze": freeze, "nesterov": nesterov, "clipGradNorm": clip, "seed": 4 * i + 2 * j + k}
    for i, freeze in enumerate(("none", "backbone"))
    for j, nesterov in enumerate((False, True))
    for k, clip in enumerate((0.0, 0.3))
]
STEPS, BATCH, CLASSES, SIZE = 6, 4, 3, 32
LR = 0.02
STEP_SIZE = 7
GAMMA = 0.1


def loss_case(case: dict[str, Any]) -> dict[str, Any]:
    """Loss and gradient [5, 3] of ``F.cross_entropy`` in float64."""
    generator = torch.Generator().manual_seed(7)
    logits = torch.randn(5, 3, generator=generator, dtype=torch.float64).mul(3).requires_grad_()
    labels = torch.tensor([0, 2, 1, 1, 2])
    weight = None if case["weight"] is None else torch.tensor(case["weight"], dtype=torch.float64)
    loss = functional.cross_entropy(
        logits, labels, weight=weight, label_smoothing=case["smoothing"]
    )
    (gradient,) = torch.autograd.grad(loss, logits)
    values = {"logits": logits, "labels": labels, "loss": loss, "gradient": gradient}
    return {**case, **{name: value.tolist() for name, value in values.items()}}


def schedule_case(case: dict[str, Any]) -> dict[str, Any]:
    """The learning rate of each epoch, as the schedulers set it."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    warmup, epochs = case["warmup"], case["epochs"]
    after: lr_scheduler.LRScheduler
    if case["schedule"] == "step":
        after = lr_scheduler.StepLR(optimizer, STEP_SIZE, GAMMA)
    elif case["schedule"] == "cosine":
        after = lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs - warmup)
    else:
        after = lr_scheduler.ConstantLR(optimizer, factor=1)
    scheduler: lr_scheduler.LRScheduler = after
    if warmup > 0:
        linear = lr_scheduler.LinearLR(optimizer, total_iters=warmup)
        scheduler = lr_scheduler.SequentialLR(optimizer, [linear, after], milestones=[warmup])
    rates = []
    for _ in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        with warnings.catch_warnings():
            # SequentialLR itself calls a deprecated form.
            warnings.simplefilter("ignore")
            scheduler.step()
    return {**case, "lr": LR, "stepSize": STEP_SIZE, "gamma": GAMMA, "rates": rates}


def sgd_batches(seed: int) -> list[Batch]:
    """Batches of normal pixels; labels count up."""
    images = random_images(STEPS * BATCH, SIZE, seed)
    labels = torch.arange(STEPS * BATCH) % CLASSES
    cuts = [slice(start, start + BATCH) for start in range(0, STEPS * BATCH, BATCH)]
    return [Batch(images[cut], labels[cut]) for cut in cuts]


def sgd_case(case: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """Six steps of the tiny network in float64, and how far float32's weights are from them."""
    start = random_state("tiny", CLASSES, case["seed"])
    model = make_model("tiny", CLASSES, 0)
    model.load_state_dict(start)

    def run(dtype: torch.dtype) -> Trained:
        return train(
            model,
            sgd_batches(case["seed"]),
            [LR] * STEPS,
            dtype=dtype,
            weight_decay=0.01,
            nesterov=case["nesterov"],
            max_norm=case["clipGradNorm"] or None,
            frozen=case["freeze"] == "backbone",
        )

    def way(trained: Trained, names: list[str]) -> dict[str, torch.Tensor]:
        return {name: trained.state[name].double() - start[name].double() for name in names}

    exact, single = run(torch.double), run(torch.float)
    weights = list(exact.momentum)
    statistics = [] if case["freeze"] == "backbone" else [n for n in start if ".running_" in n]
    found = {
        "losses": exact.losses,
        "weights": project_all("tiny", way(exact, weights), weights),
        "statistics": project_all("tiny", way(exact, statistics), statistics),
    }
    error = relative_error(flat(way(single, weights), weights), flat(way(exact, weights), weights))
    return {**case, **found}, error


def sgd() -> dict[str, Any]:
    """All cases, and the median of PyTorch float32's own errors."""
    found = [sgd_case(case) for case in SGD]
    return {
        "lr": LR,
        "weightDecay": 0.01,
        "batch": BATCH,
        "classes": CLASSES,
        "torchError": {
            freeze: median(error for case, error in found if case["freeze"] == freeze)
            for freeze in ("none", "backbone")
        },
        "cases": [case for case, _ in found],
    }


def fixtures() -> dict[str, Any]:
    """All cases with PyTorch's answers."""
    return {
        "losses": [loss_case(case) for case in LOSSES],
        "schedules": [schedule_case(case) for case in SCHEDULES],
        "sgd": sgd(),
    }


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    FILE.write_text(json.dumps(fixtures(), indent=1) + "\n")


if __name__ == "__main__":
    main()
