"""What PyTorch's losses and schedules give: the driver's ``test/fixtures/settings.json``.

``python -m scripts.write_settings_fixtures`` writes the file; a test compares it with PyTorch.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from torch.optim import lr_scheduler

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


def fixtures() -> dict[str, Any]:
    """All cases with PyTorch's answers."""
    return {
        "losses": [loss_case(case) for case in LOSSES],
        "schedules": [schedule_case(case) for case in SCHEDULES],
    }


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    FILE.write_text(json.dumps(fixtures(), indent=1) + "\n")


if __name__ == "__main__":
    main()
