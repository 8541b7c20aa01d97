"""Measures the first gradient of a network in float32 against PyTorch's in float64.

    node scripts/python.mjs -m scripts.parity.first_gradient resnet18 --seeds 4

The graph ``gradients`` of an artifact folder computes it in Python's onnxruntime; PyTorch's own
float32 gradient is measured beside it. Random weights, random images, Dropout switched off.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F
from torch import nn

from scripts.artifacts.stored import read_graph, read_manifest
from scripts.project import COMMITTED
from scripts.reference.torch_training import (
    Batch,
    flat,
    make_model,
    random_batch,
    relative_error,
    train,
)

CLASSES = 3


def measure(model: nn.Module, graphs: Sequence[bytes], batch: Batch) -> list[float]:
    """Returns relative errors of the whole gradient against float64: PyTorch's, then the graphs'.

    Args:
        model: has CLASSES classes; its Dropout is switched off.
    """
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    names = [name for name, _ in model.named_parameters()]
    exact, single = (
        flat(train(model, [batch], [0.0], dtype=dtype).momentum, names)
        for dtype in (torch.double, torch.float32)
    )
    found = [torch.from_numpy(_graph_gradient(model, graph, batch)) for graph in graphs]
    return [relative_error(gradient, exact) for gradient in (single, *found)]


def _graph_gradient(
    model: nn.Module, graph: bytes, batch: Batch
) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    targets = F.one_hot(batch.labels, CLASSES).float() / len(batch.labels)
    known = {"images": batch.images, "targets": targets, **model.state_dict()}
    feeds = {}
    for value in session.get_inputs():
        # Masks of ones leave everything in.
        ones = np.ones((len(batch.labels), *value.shape[1:])) if value.name == "masks" else None
        array = known[value.name].numpy() if ones is None else ones
        feeds[value.name] = array.astype(np.float32)
    (gradient,) = session.run(["gradients"], feeds)
    return np.asarray(gradient)


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="scripts.parity.first_gradient", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("arch", choices=list(COMMITTED), help="network")
    parser.add_argument(
        "--artifacts", type=Path, nargs="+", help="artifact folders (default: the committed one)"
    )
    parser.add_argument("--seeds", type=int, default=4, help="number of batches (default 4)")
    parser.add_argument("--batch", type=int, default=4, help="images per batch (default 4)")
    options = parser.parse_args(arguments)
    folders = options.artifacts or [COMMITTED[options.arch]]
    graphs = [read_graph(folder, "gradients") for folder in folders]
    size = read_manifest(folders[0])["preprocessing"]["inputSize"]
    names = ["PyTorch", *map(str, folders)]
    found = []
    for seed in range(options.seeds):
        batch = random_batch(options.batch, size, CLASSES, seed)
        found.append(measure(make_model(options.arch, CLASSES, seed), graphs, batch))
        print(f"seed {seed}: {_line(names, found[-1])}", flush=True)
    print(f"medians: {_line(names, [median(column) for column in zip(*found, strict=True)])}")
    return 0


def _line(names: Sequence[str], errors: Sequence[float]) -> str:
    return ", ".join(f"{name} {error:.2e}" for name, error in zip(names, errors, strict=True))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
