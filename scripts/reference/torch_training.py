"""PyTorch's side: training steps and evaluation, in float32 or float64."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from scripts.artifacts.architectures import ARCHITECTURES

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Batch:
    """Images [N, 3, S, S] and labels [N]."""

    images: torch.Tensor
    labels: torch.Tensor


@dataclass(frozen=True)
class Trained:
    """What steps of training gave."""

    losses: list[float]
    state: Tensors
    momentum: Tensors
    """By parameter that learns. After one step from zero it is the gradient, weight decay's part
    included."""


def make_model(arch: str, classes: int, seed: int) -> nn.Module:
    """A network with torchvision's initialisation, float32, in training mode."""
    torch.manual_seed(seed)
    return ARCHITECTURES[arch].build(classes).train()


def random_batch(batch: int, size: int, classes: int, seed: int) -> Batch:
    """Normal pixels, uniform labels."""
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
    """Steps of torch.optim.SGD on a copy of ``model``, one learning rate each.

    Args:
        max_norm: of all gradients; None does not clip.
        frozen: the backbone is in evaluation mode and does not learn.
    """
    model = copy.deepcopy(model).to(dtype).train(not frozen)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not frozen or name.startswith("fc."))
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
        loss = F.cross_entropy(model(batch.images.to(dtype)), batch.labels)
        loss.backward()  # type: ignore[no-untyped-call]
        if max_norm is not None:
            torch.nn.utils.clip_grad_norm_(learning.values(), max_norm)
        optimizer.step()
        losses.append(loss.item())
    buffers = {n: optimizer.state[p]["momentum_buffer"] for n, p in learning.items()}
    return Trained(losses, dict(model.state_dict()), buffers)


def evaluate(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Logits [N, C] in evaluation mode; leaves the model as it was."""
    model = copy.deepcopy(model).eval()
    with torch.no_grad():
        logits: torch.Tensor = model(images)
    return logits


@contextmanager
def threads(count: int) -> Iterator[None]:
    """PyTorch computes with ``count`` threads inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def flat(tensors: Tensors, names: Sequence[str]) -> torch.Tensor:
    """The named tensors as one float64 vector."""
    return torch.cat([tensors[name].double().flatten() for name in names])


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Norm of the difference over the norm of what was expected, in float64."""
    difference = torch.linalg.vector_norm(found.double() - expected.double())
    return float(difference / torch.linalg.vector_norm(expected.double()))
