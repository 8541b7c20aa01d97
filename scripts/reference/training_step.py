"""Training steps of a network, in PyTorch and in the lowered graph, from the same state."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import onnx
import onnx_ir as ir
import torch
import torch.nn.functional as F
from torch import nn

from scripts.artifacts.architectures import ARCHITECTURES
from scripts.artifacts.differentiate import differentiate
from scripts.artifacts.forward import prepare
from scripts.artifacts.graph_builder import NUMPY_DTYPES
from scripts.artifacts.graphs.head import build_head_graph
from scripts.artifacts.graphs.training import build_training_graph
from scripts.artifacts.network import OUTPUT_PREFIX, Network
from scripts.reference.evaluator import Array, run_reference

DOUBLE = ir.DataType.DOUBLE


@dataclass(frozen=True)
class Settings:
    """The numbers of SGD.

    Attributes:
        lr: one learning rate per step.
        head_lr: the head's learning rates; None for those of ``lr``.
        graph: key of the graph in the manifest: train, trainExtended or trainHead.
    """

    lr: tuple[float, ...] = (0.01,)
    head_lr: tuple[float, ...] | None = None
    momentum: float = 0.9
    weight_decay: float = 0.0
    graph: str = "train"
    nesterov: bool = False
    max_norm: float = math.inf


@dataclass(frozen=True)
class Batches:
    """K batches of N images: images [K, N, 3, S, S], labels [K, N]."""

    images: torch.Tensor
    labels: torch.Tensor
    classes: int


def random_batches(k: int, n: int, size: int, classes: int, seed: int = 0) -> Batches:
    """Returns batches of normal pixels (float64) and uniform labels."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(k, n, 3, size, size, dtype=torch.double, generator=generator)
    return Batches(images, torch.randint(0, classes, (k, n), generator=generator), classes)


@lru_cache
def training_graph(
    arch: str, size: int, dtype: ir.DataType, key: str = "train"
) -> tuple[Network, onnx.ModelProto]:
    """Builds the lowered graph of ``arch``, with the default head, as it serves any class count."""
    model = ARCHITECTURES[arch].build(2)
    prepared = prepare(model, size)
    network, forward = prepared.network, prepared.proto
    if key == "trainHead":
        head_gradient = differentiate(forward, list(network.head_only().parameters))
        return network, ir.to_proto(build_head_graph(network, head_gradient, dtype))
    gradient = differentiate(forward, list(network.parameters))
    extended = key == "trainExtended"
    return network, ir.to_proto(build_training_graph(network, gradient, dtype, extended))


def make_model(arch: str, classes: int, seed: int) -> nn.Module:
    """Returns a network with torchvision's initialisation, in float64 and training mode."""
    torch.manual_seed(seed)
    return ARCHITECTURES[arch].build(classes).double().train()


def feeds(
    graph: onnx.ModelProto,
    network: Network,
    model: nn.Module,
    batches: Batches,
    settings: Settings,
    dtype: ir.DataType = DOUBLE,
) -> dict[str, Array]:
    """Returns the graph's inputs: ``model``'s state, zero momentum, one-hot rows divided by N."""
    numpy_dtype = NUMPY_DTYPES[dtype]
    state = model.state_dict()
    found: dict[str, Array] = {}
    for name in network.parameters:
        found[name] = state[name].numpy()
        found[f"momentum.{name}"] = np.zeros(state[name].shape)
    found |= {name: state[name].numpy() for name in network.buffers}
    batch_size = batches.labels.shape[1]
    found |= {
        "images": batches.images.numpy(),
        "targets": F.one_hot(batches.labels, batches.classes).numpy() / batch_size,
        "lr": np.array(settings.lr),
        "head_lr": np.array(settings.head_lr or settings.lr),
        "momentum": np.array(settings.momentum),
        "weight_decay": np.array(settings.weight_decay),
    }
    found |= {
        "nesterov": np.array(float(settings.nesterov)),
        "max_norm": np.array(settings.max_norm),
    }
    return {entry.name: found[entry.name].astype(numpy_dtype) for entry in graph.graph.input}


def run_graph(graph: onnx.ModelProto, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Returns the outputs by name; the reference evaluator computes in the graph's own type."""
    outputs = run_reference(graph, inputs)
    return {name.removeprefix(OUTPUT_PREFIX): array for name, array in outputs.items()}


def run_torch(model: nn.Module, batches: Batches, settings: Settings) -> dict[str, Array]:
    """Returns the same outputs from PyTorch's cross entropy, autograd and SGD; trains ``model``."""
    head = [p for n, p in model.named_parameters() if n.startswith("fc.")]
    backbone = [p for n, p in model.named_parameters() if not n.startswith("fc.")]
    groups = [{"params": head, "lr": settings.lr[0]}]
    if settings.graph == "trainHead":
        model.eval()
        for parameter in backbone:
            parameter.requires_grad_(False)
    else:
        groups.append({"params": backbone, "lr": settings.lr[0]})
    optimizer = torch.optim.SGD(
        groups,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        nesterov=settings.nesterov,
    )
    losses, logits = [], []
    for step, lr in enumerate(settings.lr):
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.param_groups[0]["lr"] = (settings.head_lr or settings.lr)[step]
        optimizer.zero_grad()
        output = model(batches.images[step])
        loss = F.cross_entropy(output, batches.labels[step])
        loss.backward()  # type: ignore[no-untyped-call]
        if settings.max_norm < math.inf:
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.max_norm)
        optimizer.step()
        losses.append(loss.item())
        logits.append(output.detach().numpy())
    found: dict[str, Array] = {"losses": np.array(losses), "logits": np.array(logits)}
    for name, tensor in model.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            found[name] = tensor.numpy()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            found[f"momentum.{name}"] = optimizer.state[parameter]["momentum_buffer"].numpy()
    return found


def relative_error(found: Array, expected: Array) -> float:
    """Returns the norm of the difference, divided by the norm of ``expected``."""
    norm = float(np.linalg.norm(expected))
    return float(np.linalg.norm(found - expected)) / max(norm, 1e-300)
