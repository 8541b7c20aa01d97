"""PyTorch's training steps and evaluation, in float32 or float64."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from scripts.artifacts.networks import find_network
from scripts.reference.masks import Masks, given_masks

Tensors = dict[str, torch.Tensor]

HEAD = "fc."
"""First part of the names of a ResNet's last layer; only ResNets are trained frozen here."""


@dataclass(frozen=True)
class Batch:
    """Images [N, 3, S, S] and labels [N].

    Attributes:
        masks: None if the network draws no masks, or draws its own.
    """

    images: torch.Tensor
    labels: torch.Tensor
    masks: Masks | None = None


@dataclass(frozen=True)
class Trained:
    """The results of training steps.

    Attributes:
        losses: one loss per step.
        momentum: momentum of each parameter that learns. After one step from zero it is the
            gradient, weight decay included.
    """

    losses: list[float]
    state: Tensors
    momentum: Tensors


def make_model(arch: str, classes: int, seed: int) -> nn.Module:
    """Returns a network with torchvision's initialisation, in float32 and training mode."""
    torch.manual_seed(seed)
    return find_network(arch).build(classes).train()


def random_batch(batch: int, size: int, classes: int, seed: int) -> Batch:
    """Returns a batch of normal pixels and uniform labels."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(batch, 3, size, size, generator=generator)
    return Batch(images, torch.randint(0, classes, (batch,), generator=generator))


def train(
    model: nn.Module,
    batches: Sequence[Batch],
    lr: Sequence[float],
    *,
    dtype: torch.dtype = torch.float32,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    max_norm: float | None = None,
    frozen: bool = False,
) -> Trained:
    """Trains a copy of ``model`` with torch.optim.SGD, one step per batch.

    Args:
        lr: one learning rate per step.
        max_norm: largest norm of all gradients; None for no clipping.
        frozen: the backbone is in evaluation mode and does not learn.
    """
    model = copy.deepcopy(model).to(dtype).train(not frozen)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not frozen or name.startswith(HEAD))
    learning = {n: p for n, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.SGD(
        learning.values(),
        lr=lr[0],
        momentum=momentum,
        weight_decay=weight_decay,
        nesterov=nesterov,
    )
    losses = []
    for batch, rate in zip(batches, lr, strict=True):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        with given_masks(batch.masks):
            logits = model(batch.images.to(dtype))
        loss = F.cross_entropy(logits, batch.labels)
        loss.backward()  # type: ignore[no-untyped-call]
        if max_norm is not None:
            torch.nn.utils.clip_grad_norm_(learning.values(), max_norm)
        optimizer.step()
        losses.append(loss.item())
    buffers = {n: optimizer.state[p]["momentum_buffer"] for n, p in learning.items()}
    return Trained(losses, dict(model.state_dict()), buffers)


def evaluate(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Returns logits [N, C] in evaluation mode; does not change the model."""
    model = copy.deepcopy(model).eval()
    with torch.no_grad():
        logits: torch.Tensor = model(images)
    return logits


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Lets PyTorch compute with ``count`` threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def flat(tensors: Tensors, names: Sequence[str]) -> torch.Tensor:
    """Joins the named tensors into one float64 vector."""
    return torch.cat([tensors[name].double().flatten() for name in names])


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Returns the norm of the difference, divided by the norm of ``expected``, in float64."""
    difference = torch.linalg.vector_norm(found.double() - expected.double())
    return float(difference / torch.linalg.vector_norm(expected.double()))
