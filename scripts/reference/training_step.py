"""Training steps of a network, in PyTorch and in the lowered graph, from the same state."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
import onnx
import onnx_ir as ir
import torch
import torch.nn.functional as F
from torch import nn

from scripts.artifacts.differentiate import GradientGraph
from scripts.artifacts.forward import prepare
from scripts.artifacts.gradient_way import GradientWay, gradient_way
from scripts.artifacts.graph_builder import NUMPY_DTYPES
from scripts.artifacts.graphs.head import build_head_graph
from scripts.artifacts.graphs.training import build_training_graph
from scripts.artifacts.manifest import mask_layout
from scripts.artifacts.network import OUTPUT_PREFIX, Network
from scripts.artifacts.networks import find_network
from scripts.artifacts.step_scan import MASKS
from scripts.reference.evaluator import Array, run_reference
from scripts.reference.masks import Masks, given_masks, random_masks

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
    """K batches of N images: images [K, N, 3, S, S], labels [K, N].

    Attributes:
        seed: seed of the masks of Dropout and stochastic depth.
    """

    images: torch.Tensor
    labels: torch.Tensor
    classes: int
    seed: int = 0


def random_batches(k: int, n: int, size: int, classes: int, seed: int = 0) -> Batches:
    """Returns batches of normal pixels (float64) and uniform labels."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(k, n, 3, size, size, dtype=torch.double, generator=generator)
    return Batches(images, torch.randint(0, classes, (k, n), generator=generator), classes, seed)


@lru_cache
def gradient_graph(
    arch: str, size: int, *, frozen: bool = False, way: GradientWay | None = None
) -> tuple[Network, GradientGraph]:
    """Derives the gradients of ``arch``, with the default head, as it serves any class count.

    Args:
        frozen: of the head only.
        way: the program that derives the gradients; None for that of the build.
    """
    forward = prepare(find_network(arch).build(2), size)
    learning = forward.network.head_only() if frozen else forward.network
    way = way or gradient_way(forward)
    return forward.network, way.differentiate(forward, list(learning.parameters))


@lru_cache
def training_graph(
    arch: str,
    size: int,
    dtype: ir.DataType,
    key: str = "train",
    way: GradientWay | None = None,
) -> tuple[Network, onnx.ModelProto]:
    """Builds the lowered graph of K steps of ``arch``; arguments as for ``gradient_graph``."""
    network, gradient = gradient_graph(arch, size, frozen=key == "trainHead", way=way)
    if key == "trainHead":
        return network, ir.to_proto(build_head_graph(network, gradient, dtype))
    extended = key == "trainExtended"
    return network, ir.to_proto(build_training_graph(network, gradient, dtype, extended))


def make_model(arch: str, classes: int, seed: int) -> nn.Module:
    """Returns a network with its publisher's initialisation, in float64 and training mode."""
    torch.manual_seed(seed)
    return find_network(arch).build(classes).double().train()


def feeds(
    graph: onnx.ModelProto,
    network: Network,
    model: nn.Module,
    batches: Batches,
    settings: Settings,
    dtype: ir.DataType = DOUBLE,
) -> dict[str, Array]:
    """Returns the graph's inputs: ``model``'s state, zero momentum, one-hot rows divided by N.

    Each step has masks of its own, drawn from the batches' seed.
    """
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
        MASKS: np.stack([_masks(network, batches, step) for step in range(len(batches.labels))]),
        "nesterov": np.array(float(settings.nesterov)),
        "max_norm": np.array(settings.max_norm),
    }
    return {entry.name: found[entry.name].astype(numpy_dtype) for entry in graph.graph.input}


def run_graph(graph: onnx.ModelProto, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Returns the outputs by name; the reference evaluator computes in the graph's own type."""
    outputs = run_reference(graph, inputs)
    return {name.removeprefix(OUTPUT_PREFIX): array for name, array in outputs.items()}


def run_torch(
    model: nn.Module, network: Network, batches: Batches, settings: Settings
) -> dict[str, Array]:
    """Returns the same outputs from PyTorch's cross entropy, autograd and SGD; trains ``model``."""
    frozen = settings.graph == "trainHead"
    head = [p for n, p in model.named_parameters() if n in network.head]
    backbone = [p for n, p in model.named_parameters() if n not in network.head]
    groups = [{"params": head, "lr": settings.lr[0]}]
    if frozen:
        _freeze(model, network)
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
    random_layers = network.head_only().masks if frozen else network.masks
    for step, lr in enumerate(settings.lr):
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.param_groups[0]["lr"] = (settings.head_lr or settings.lr)[step]
        optimizer.zero_grad()
        masks = torch.from_numpy(_masks(network, batches, step))
        with given_masks(Masks(masks, [asdict(entry) for entry in random_layers.entries])):
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


def _masks(network: Network, batches: Batches, step: int) -> Array:
    """Returns the masks [N, D] of one step."""
    batch_size = batches.labels.shape[1]
    found = random_masks(mask_layout(network.masks), batch_size, batches.seed + step)
    return np.zeros((batch_size, 0)) if found is None else found.values.double().numpy()


def _freeze(model: nn.Module, network: Network) -> None:
    """Puts all but the head's Dropout into evaluation mode."""
    model.eval()
    layers = [module for module in model.modules() if isinstance(module, nn.Dropout)]
    for layer in layers[len(layers) - len(network.head_only().masks.entries) :]:
        layer.train()


def relative_error(found: Array, expected: Array) -> float:
    """Returns the norm of the difference, divided by the norm of ``expected``."""
    norm = float(np.linalg.norm(expected))
    return float(np.linalg.norm(found - expected)) / max(norm, 1e-300)
