"""Checks what is known of the networks before they are built."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from scripts.artifacts.errors import NetworkError
from scripts.artifacts.networks import find_network


@pytest.mark.parametrize(
    ("name", "size", "resize", "interpolation", "mean"),
    [
        ("resnet18", 224, 256, "bilinear", 0.485),
        ("efficientnet_b0", 224, 256, "bicubic", 0.485),
        ("convnext_tiny", 224, 236, "bilinear", 0.485),
        ("inception_v3", 299, 342, "bilinear", 0.485),
        ("efficientnet_lite0", 224, 256, "bicubic", 0.5),
        ("timm/vit_tiny_patch16_224", 224, 248, "bicubic", 0.5),
    ],
)
def test_transforms_are_the_publishers(
    name: str, size: int, resize: int, interpolation: str, mean: float
) -> None:
    found = find_network(name).transforms(None)
    assert (found.input_size, found.resize_size) == (size, resize)
    assert (found.interpolation, found.mean[0]) == (interpolation, mean)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("resnet18", "fc"),
        ("vgg11_bn", "classifier.6"),
        ("squeezenet1_1", "classifier.1"),
        ("densenet121", "classifier"),
        ("mobilenet_v3_small", "classifier.3"),
        ("swin_t", "head"),
        ("inception_v3", "fc"),
        ("timm/vit_tiny_patch16_224", "head"),
        ("efficientnet_lite0", "classifier"),
    ],
)
def test_the_head_has_the_classes_and_pytorchs_initialisation(name: str, head: str) -> None:
    torch.manual_seed(0)
    layer = find_network(name).build(5).get_submodule(head)
    assert isinstance(layer, (nn.Linear, nn.Conv2d)) and layer.bias is not None
    fan_in = layer.weight[0].numel()
    assert layer.weight.shape[0] == 5
    for tensor in (layer.weight.detach(), layer.bias.detach()):
        assert float(tensor.abs().max()) <= fan_in**-0.5
    assert float(layer.weight.detach().abs().max()) > 0.9 * fan_in**-0.5


def test_published_weights() -> None:
    resnet = find_network("resnet18").pretrained
    assert resnet is not None and resnet.sha256 is not None and resnet.url is not None
    assert resnet.sha256.startswith(resnet.sha256_prefix or "?")
    assert resnet.licence == "BSD-3-Clause" and resnet.bytes == 46_830_571
    hashed = find_network("mobilenet_v3_large").pretrained
    assert hashed is not None and hashed.sha256 is None and hashed.sha256_prefix == "8738ca79"
    hub = find_network("timm/vit_tiny_patch16_224").pretrained
    assert hub is not None and hub.url is None and hub.licence == "apache-2.0"


@pytest.mark.parametrize(
    ("name", "count", "missing"),
    [
        ("efficientnet_lite0", 296, set()),
        ("mobilenet_v2", 312, {"classifier.1.weight", "classifier.1.bias"}),
    ],
)
def test_the_name_map_of_a_package_covers_the_network(
    name: str, count: int, missing: set[str]
) -> None:
    """The maps were compared with the packages' files once; all names and shapes agreed."""
    network = find_network(name)
    assert network.pretrained is not None
    names = network.pretrained.names
    assert names is not None and len(names) == count
    assert set(network.build(2).state_dict()) - set(names.values()) == missing
    assert len(set(names.values())) == count


def test_names_in_a_flat_block_and_in_a_nested_one() -> None:
    pretrained = find_network("mobilenet_v2").pretrained
    names = (pretrained and pretrained.names) or {}
    assert names["features.1.conv.3.weight"] == "features.1.conv.1.weight"
    assert names["features.2.conv.4.running_var"] == "features.2.conv.1.1.running_var"
    assert names["features.17.conv.7.bias"] == "features.17.conv.3.bias"


def test_unknown_names_are_refused_with_those_that_are_near() -> None:
    with pytest.raises(NetworkError, match=r"got efficientnetb0; did you mean efficientnet_b0"):
        find_network("efficientnetb0")
    with pytest.raises(NetworkError, match="timm as timm/NAME, got timm/nonsense_of_no_model"):
        find_network("timm/nonsense_of_no_model")
