"""The random numbers of src/common/philox.ts and the random initial state, in NumPy.

With them PyTorch starts from exactly the weights that the TypeScript program starts from, without
a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scripts.artifacts.stored import read_manifest
from scripts.project import COMMITTED
from scripts.reference.torch_training import Tensors

STREAM = {"shuffle": 0, "crop": 1, "head": 2, "weights": 3, "trial": 4, "masks": 5}
MASK = np.uint64(0xFFFFFFFF)
SHIFT = np.uint64(32)

Words = NDArray[np.uint64]
Masks = NDArray[np.float32]


def philox4x32(counter: Words, key: Words) -> Words:
    """Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011).

    Args:
        counter: [..., 4], each below 2^32.
        key: [2], each below 2^32.

    Returns:
        [..., 4], each below 2^32.
    """
    c0, c1, c2, c3 = (counter[..., word] for word in range(4))
    k0, k1 = key
    for _ in range(10):
        product0 = np.uint64(0xD2511F53) * c0
        product1 = np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (
            (product1 >> SHIFT) ^ c1 ^ k0,
            product1 & MASK,
            (product0 >> SHIFT) ^ c3 ^ k1,
            product0 & MASK,
        )
        k0 = (k0 + np.uint64(0x9E3779B9)) & MASK
        k1 = (k1 + np.uint64(0xBB67AE85)) & MASK
    return np.stack([c0, c1, c2, c3], axis=-1)


def words(count: int, seed: int, stream: str, epoch: int = 0, index: int = 0) -> Words:
    """Returns the first draws of nextUint32() of ``new Philox(seed, stream, epoch, index)``."""
    counter = np.zeros((-(-count // 4), 4), np.uint64)
    counter[:, 0] = np.arange(len(counter))
    counter[:, 1:] = (index, epoch, STREAM[stream])
    key = np.array([seed % 2**32, seed // 2**32], np.uint64)
    return philox4x32(counter, key).reshape(-1)[:count]


def uniform(count: int, seed: int, stream: str, epoch: int = 0, index: int = 0) -> Any:
    """Returns the first draws of the class's ``uniform``: float64 in [0, 1)."""
    pairs = words(2 * count, seed, stream, epoch, index).reshape(-1, 2)
    high, low = pairs[:, 0] >> np.uint64(5), pairs[:, 1] >> np.uint64(6)
    return (high.astype(np.float64) * 2**26 + low) / 2**53


def normal(count: int, seed: int, stream: str, epoch: int = 0, index: int = 0) -> Any:
    """Returns the first draws of the class's ``normal``: float64, by Box and Muller's method."""
    pairs = uniform(count + count % 2, seed, stream, epoch, index).reshape(-1, 2)
    radius = np.sqrt(-2 * np.log(1 - pairs[:, 0]))
    angle = 2 * np.pi * pairs[:, 1]
    both = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    return both.reshape(-1)[:count]


def signs(count: int, projection: int, tensor: int) -> Any:
    """Returns the signs, 1 or -1, of one random projection of one tensor.

    Element i depends on bit i mod 32 of draw i // 32: +1 if the bit is set.

    Args:
        projection: number of the projection.
        tensor: number of the tensor.
    """
    draws = words(-(-count // 32), 0, "trial", projection, tensor)
    bits = (draws[:, None] >> np.arange(32, dtype=np.uint64)) & np.uint64(1)
    return bits.reshape(-1)[:count].astype(np.float64) * 2 - 1


def masks(layout: Mapping[str, Any], seed: int, epoch: int, samples: Sequence[int]) -> Masks:
    """Returns the masks [N, width] that the driver draws (src/data/masks.ts), float32.

    Args:
        layout: ``masks`` of the manifest.
        samples: index in the data set of each image.
    """
    width = layout["width"]
    p = np.zeros(width)
    for entry in layout["entries"]:
        p[entry["offset"] : entry["offset"] + entry["width"]] = entry["p"]
    kept = np.divide(1, 1 - p, out=np.zeros(width), where=p < 1)
    rows = [words(width, seed, "masks", epoch, index) for index in samples]
    return np.where(np.array(rows) >= p * 2**32, kept, 0).astype(np.float32)


def manifest(arch: str) -> dict[str, Any]:
    """Reads the manifest of the committed artifacts."""
    return read_manifest(COMMITTED[arch])


def head(arch: str) -> list[str]:
    """Returns the names of the head's parameters, its weight first."""
    return [entry["name"] for entry in manifest(arch)["parameters"] if entry["role"] == "head"]


def random_state(arch: str, classes: int, seed: int) -> Tensors:
    """Returns the state that ``--weights random`` starts from, without momentum."""
    found = manifest(arch)
    state: Tensors = {}
    for index, entry in enumerate([*found["parameters"], *found["buffers"]]):
        shape = [classes if size == "C" else size for size in entry["shape"]]
        stream = "head" if entry.get("role") == "head" else "weights"
        values = _initialize(entry["init"], int(np.prod(shape)), seed, stream, index)
        state[entry["name"]] = torch.tensor(values, dtype=torch.float32).reshape(shape)
    return state | {name: torch.tensor(0) for name in found["counters"]}


def _initialize(
    init: Mapping[str, Any], count: int, seed: int, stream: str, index: int
) -> NDArray[np.float64]:
    values: NDArray[np.float64]
    match init["kind"]:
        case "constant":
            values = np.full(count, init["value"], np.float64)
        case "uniform":
            low, high = init["low"], init["high"]
            centred = 2 * uniform(count, seed, stream, 0, index) - 1
            values = (low + high) / 2 + (high - low) / 2 * centred
        case "normal":
            values = init["mean"] + init["std"] * normal(count, seed, stream, 0, index)
        case "truncated_normal":
            values = _truncated_normal(init, count, seed, stream, index)
        case kind:
            raise NotImplementedError(f"expected a known initialiser, got {kind}")
    return values


def _truncated_normal(
    init: Mapping[str, Any], count: int, seed: int, stream: str, index: int
) -> NDArray[np.float64]:
    """Returns the first ``count`` normal numbers inside the bounds, in the order of the draws."""
    drawn = count
    while True:
        values = init["mean"] + init["std"] * normal(drawn, seed, stream, 0, index)
        kept = values[(values >= init["low"]) & (values <= init["high"])]
        if len(kept) >= count:
            found: NDArray[np.float64] = kept[:count]
            return found
        drawn *= 2


def random_images(count: int, size: int, seed: int) -> torch.Tensor:
    """Returns normal pixels [count, 3, size, size], as the tests in TypeScript draw them."""
    values = normal(count * 3 * size * size, seed, "trial", 1000)
    return torch.tensor(values, dtype=torch.float32).reshape(count, 3, size, size)
