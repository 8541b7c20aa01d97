"""Small references: a tensor's norm and a few random projections instead of the tensor.

For a vector d and random signs r, the mean of (r·d)² is |d|². So the projections of two tensors
tell how far apart the tensors are. test/parity/parity-fixtures.ts computes that distance.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from scripts.reference.philox import manifest, signs
from scripts.reference.torch_training import Tensors

COUNT = 4


def project(tensor: torch.Tensor, number: int) -> list[float]:
    """Returns a tensor's norm, then its projections; ``number`` selects their signs."""
    flat = tensor.double().flatten()
    sums = [float(flat @ torch.tensor(signs(len(flat), p, number))) for p in range(COUNT)]
    return [float(torch.linalg.vector_norm(flat)), *sums]


def project_all(arch: str, tensors: Tensors, names: Iterable[str]) -> dict[str, list[float]]:
    """Projects the named tensors of a state; a tensor's number is its place in the manifest."""
    found = manifest(arch)
    entries = [entry["name"] for entry in [*found["parameters"], *found["buffers"]]]
    return {name: project(tensors[name], entries.index(name)) for name in names}
