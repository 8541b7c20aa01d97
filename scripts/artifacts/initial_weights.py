"""The initial weights: a backbone with torchvision's names, written beside the graphs.

The file is not committed. If it exists, ``--weights imagenet`` reads it and downloads nothing.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from scripts.artifacts.architectures import Architecture
from scripts.artifacts.forward import prepare

FILE_NAME = "initial.safetensors"
CHOICES = "--weights random, --weights FILE (.pth or .safetensors) or --weights none"


class WeightsError(Exception):
    """The weights cannot be read or fetched, or do not fit; the message says what to do."""


def write_initial_weights(
    weights: str, architecture: Architecture, model: nn.Module, folder: Path
) -> Path:
    """Writes ``initial.safetensors`` into ``folder`` and returns its path.

    Args:
        weights: ``imagenet``, ``random`` or the path of a ``.pth`` or ``.safetensors`` file.
        model: the network with random weights; it gives names and shapes.

    Raises:
        WeightsError: the weights cannot be read or fetched, or a tensor is missing or has another
            shape.
    """
    expected = model.state_dict()
    if weights == "random":
        source, found = "random", expected
    elif weights == "imagenet":
        if architecture.pretrained is None:
            raise WeightsError(
                f"expected an architecture with published weights, got {architecture.name}; "
                f"use {CHOICES}"
            )
        source, found = architecture.pretrained.name, _fetch(architecture)
    else:
        source, found = Path(weights).name, _read(Path(weights))
    backbone: dict[str, torch.Tensor] = {}
    network = prepare(model, architecture.input_size).network
    for name in (*network.parameters, *network.buffers):
        if name in network.head:
            continue
        tensor = expected[name]
        if name not in found:
            raise WeightsError(f"expected the tensor {name} in {weights}, found none")
        if found[name].shape != tensor.shape:
            raise WeightsError(
                f"expected shape {list(tensor.shape)} for {name}, "
                f"found {list(found[name].shape)} in {weights}"
            )
        backbone[name] = found[name].detach().float().contiguous()
    path = folder / FILE_NAME
    temporary = path.with_suffix(".tmp")
    save_file(backbone, temporary, metadata={"arch": architecture.name, "source": source})
    temporary.replace(path)
    return path


def _read(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise WeightsError(f"expected a weight file at {path}, found none; use {CHOICES}")
    if path.suffix == ".safetensors":
        return load_file(path)
    state: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def _fetch(architecture: Architecture) -> dict[str, torch.Tensor]:
    pretrained = architecture.pretrained
    if pretrained is None or pretrained.url is None:
        raise WeightsError(f"expected an address of weights, found none; use {CHOICES}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pth"
        try:
            # PyTorch checks the hash before the file gets its name, so before _read opens it.
            torch.hub.download_url_to_file(
                pretrained.url, str(path), hash_prefix=pretrained.sha256 or pretrained.sha256_prefix
            )
        except (OSError, RuntimeError) as error:
            raise WeightsError(
                f"expected to fetch {pretrained.url}, got: {error}; the graphs do not need "
                f"weights: use {CHOICES}"
            ) from error
        return _read(path)
