"""A network of the user's own: an ONNX file, an inference export of any program."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from scripts.artifacts.errors import NetworkError
from scripts.artifacts.graphs.preprocessing import Interpolation, Transforms
from scripts.artifacts.network import Network
from scripts.artifacts.networks.architecture import Architecture, Pretrained
from scripts.artifacts.networks.initializers import Distribution, constant, uniform

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class OwnTransforms:
    """Settings of images that the file does not hold; the defaults are torchvision's.

    Attributes:
        crop_fraction: side of the centre crop / shorter side of the resized image.
    """

    mean: Sequence[float] = IMAGENET_MEAN
    std: Sequence[float] = IMAGENET_STD
    interpolation: Interpolation = "bilinear"
    crop_fraction: float = 224 / 256


def read_own(path: Path, settings: OwnTransforms) -> tuple[Architecture, onnx.ModelProto]:
    """Returns what is known of the network in a file, and its graph.

    Raises:
        NetworkError: there is no ONNX file at ``path``.
    """
    try:
        content = path.read_bytes()
        model = onnx.load_from_string(content)
    except (OSError, DecodeError) as error:
        raise NetworkError(f"expected an ONNX file at {path}, got {error}") from error
    size = _declared_size(model)

    def transforms(input_size: int | None) -> Transforms:
        side = input_size or size
        resize = round(side / settings.crop_fraction)
        return Transforms(
            side, resize, list(settings.mean), list(settings.std), settings.interpolation
        )

    digest = hashlib.sha256(content).hexdigest()
    pretrained = Pretrained(
        name=path.name,
        licence="unknown",
        url=None,
        sha256=digest,
        sha256_prefix=digest[:8],
        bytes=len(content),
    )
    return Architecture(path.stem, transforms, pretrained, f"onnx:{path.name}"), model


def _declared_size(model: onnx.ModelProto) -> int:
    """Returns the height of the images if the file fixes it, otherwise 224."""
    weights = {tensor.name for tensor in model.graph.initializer}
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        if value.name not in weights and len(dims) == 4 and dims[2].dim_value > 0:
            return int(dims[2].dim_value)
    return 224


def own_initializers(network: Network, forward: onnx.ModelProto) -> dict[str, Distribution]:
    """Returns initialisers for random weights, which a file does not name.

    Scales of normalisations and variances are 1, other vectors 0. Weights are normal with variance
    2 / fan_out (He et al. 2015). The head is uniform within 1 / sqrt(fan_in), as PyTorch's Linear.
    """
    ones = {
        node.input[place]
        for node in forward.graph.node
        if node.op_type in ("BatchNormalization", "LayerNormalization")
        for place in ((1, 4) if node.op_type == "BatchNormalization" else (1,))
    }
    shapes = {**network.parameters, **network.buffers}
    fan_in = _fan_in({name: shapes[name] for name in network.head})
    found: dict[str, Distribution] = {}
    for name, shape in shapes.items():
        if name in network.head:
            found[name] = uniform(-1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))
        elif len(shape) < 2:
            found[name] = constant(1.0 if name in ones else 0.0)
        else:
            fan_out = int(shape[0]) * math.prod(int(size) for size in shape[2:])
            found[name] = Distribution("normal", 0.0, math.sqrt(2 / fan_out))
    return found


def _fan_in(head: Mapping[str, Sequence[int | str]]) -> int:
    """Returns the number of values that each class is computed from."""
    return max(math.prod(int(size) for size in shape if size != "C") for shape in head.values())
