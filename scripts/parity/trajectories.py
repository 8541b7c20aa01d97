"""Twenty steps on real batches, of which rows 4, 5 and 8 are made; their float64 part.

The learning rate drops every epoch.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch

from scripts.parity.bridge import Bridge
from scripts.parity.rows import Context, Row, at_most
from scripts.project import SAMPLES
from scripts.reference.masks import Masks
from scripts.reference.philox import manifest, random_state
from scripts.reference.torch_training import (
    Batch,
    Tensors,
    Trained,
    flat,
    make_model,
    relative_error,
    train,
)
from scripts.reference.training_step import DOUBLE, run_graph, training_graph

IMAGES_PER_CLASS = 9
BATCH = 4
EPOCHS = 4
STEPS = 5 * EPOCHS
"""Number of steps: an epoch has four batches of 4 images and a last one of 2."""
LR, GAMMA = 0.001, 0.1
RATES = [LR * GAMMA ** (step // 5) for step in range(STEPS)]
SEEDS = range(8)


def write_data(folder: Path) -> Path:
    """Copies the first 18 sample images to ``folder``."""
    for name in ("brick", "gravel"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for path in sorted((SAMPLES / "train" / name).iterdir())[:IMAGES_PER_CLASS]:
            shutil.copy(path, folder / name / path.name)
    return folder


@dataclass(frozen=True)
class Trajectory:
    """This project's losses and last state, and the batches that its loader made."""

    batches: list[Batch]
    losses: torch.Tensor
    state: Tensors


def drive(bridge: Bridge, data: Path, seed: int, lr: float = LR) -> Trajectory:
    """Takes twenty steps of the open session, from its current state."""
    found = bridge.epochs(data, EPOCHS, batch_size=BATCH, seed=seed, lr=lr, gamma=GAMMA)
    layout = manifest(bridge.arch).get("masks")
    batches = [
        Batch(
            found[f"images.{i}"],
            found[f"labels.{i}"],
            None if layout is None else Masks(found[f"masks.{i}"], layout["entries"]),
        )
        for i in range(STEPS)
    ]
    assert [len(batch.labels) for batch in batches[:5]] == [4, 4, 4, 4, 2]
    return Trajectory(batches, found["losses"], bridge.get_state())


@dataclass(frozen=True)
class Distance:
    """Relative distances of two trajectories.

    Attributes:
        losses: relative to the reference's losses.
        weights: relative to how far the reference's weights moved from the start.
        statistics: relative to how far the reference's running statistics moved.
    """

    losses: float
    weights: float
    statistics: float


def doubles(values: list[float]) -> torch.Tensor:
    """Converts to a float64 vector."""
    return torch.tensor(values, dtype=torch.double)


def distance(losses: torch.Tensor, state: Tensors, reference: Trained, start: Tensors) -> Distance:
    """Returns how far losses and state are from a reference that began at ``start``."""
    weights = list(reference.momentum)
    statistics = [n for n, t in start.items() if n not in weights and t.is_floating_point()]

    def change(tensors: Tensors, names: list[str]) -> torch.Tensor:
        return flat(tensors, names) - flat(start, names)

    return Distance(
        losses=relative_error(losses, doubles(reference.losses)),
        weights=relative_error(change(state, weights), change(reference.state, weights)),
        statistics=relative_error(change(state, statistics), change(reference.state, statistics)),
    )


def medians(distances: list[Distance]) -> Distance:
    """Returns the median of each distance."""
    return Distance(
        median(d.losses for d in distances),
        median(d.weights for d in distances),
        median(d.statistics for d in distances),
    )


def float64_state(
    batches: list[Batch], start: Tensors, classes: int
) -> tuple[list[float], Tensors]:
    """Returns losses and last state of the tiny network's graph, evaluated in float64."""
    network, graph = training_graph("tiny", 32, DOUBLE)
    state = {name: tensor.double().numpy() for name, tensor in start.items()}
    state |= {f"momentum.{name}": np.zeros(state[name].shape) for name in network.parameters}
    state = {name: state[name] for name in network.state()}
    losses = []
    for batch, rate in zip(batches, RATES, strict=True):
        count = len(batch.labels)
        targets = np.eye(classes)[batch.labels.numpy()] / count
        inputs = {
            "images": batch.images.double().numpy()[None],
            "targets": targets[None],
            "lr": np.array([rate]),
            "head_lr": np.array([rate]),
            "momentum": np.array(0.9),
            "weight_decay": np.array(0.0),
        }
        outputs = run_graph(graph, {**state, **inputs})
        losses.append(float(outputs["losses"][0]))
        state = {name: outputs[name] for name in state}
    return losses, {name: torch.tensor(array) for name, array in state.items()}


def float64_distance(trajectory: Trajectory, start: Tensors, classes: int) -> Distance:
    """Returns the distance of the tiny network's graph from PyTorch, both in float64."""
    losses, state = float64_state(trajectory.batches, start, classes)
    model = make_model("tiny", classes, 0)
    model.load_state_dict(start)
    reference = train(model, trajectory.batches, RATES, dtype=torch.double)
    return distance(doubles(losses), state, reference, start)


def rows(context: Context) -> Iterator[Row]:
    """Measures rows 4 and 5 in float64, on the tiny network."""
    bridge = context.bridge
    data = write_data(context.folder / "trajectory")
    start = random_state("tiny", 2, 0)
    bridge.open("tiny", 2)
    bridge.set_state(start)
    exact = float64_distance(drive(bridge, data, 0), start, 2)
    what = "20 steps, float64, tiny network"
    yield at_most("4", f"{what}: losses", exact.losses, 1e-6)
    yield at_most("4", f"{what}: weights, relative to their way", exact.weights, 1e-6)
    yield at_most("5", f"{what}: running statistics after them", exact.statistics, 1e-6)
