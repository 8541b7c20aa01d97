"""The small networks that only the tests use."""

from __future__ import annotations

import torch
from torch import nn
from torchvision.models.resnet import BasicBlock  # type: ignore[import-untyped]

from scripts.artifacts.graphs.preprocessing import Transforms
from scripts.artifacts.networks.architecture import ModuleArchitecture

IMAGENET_MEAN = [0.485, 0.456, 0.406]
IMAGENET_STD = [0.229, 0.224, 0.225]


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


def _transforms(input_size: int | None) -> Transforms:
    """Returns transforms in the proportions of torchvision's ResNets."""
    size = input_size or 32
    return Transforms(size, round(size * 256 / 224), IMAGENET_MEAN, IMAGENET_STD, "bilinear")


TINY = ModuleArchitecture(
    name="tiny",
    build=TinyResNet,
    transforms=_transforms,
    pretrained=None,
    source="scripts.artifacts.networks.tiny.TinyResNet",
)
