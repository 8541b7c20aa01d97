"""Builds the artifact folders: graphs, manifest and, unless told otherwise, initial weights.

npm run artifacts                       # the committed folders
npm run artifacts -- --check            # rebuild, and compare with the committed files
npm run artifacts -- --arch densenet121 # torchvision's networks; timm's as timm/NAME
npm run artifacts -- --onnx my-network.onnx
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from torch import nn

from scripts.artifacts.build import DEFAULT_CLASSES, Built, build, differences, write
from scripts.artifacts.earlier import supersede
from scripts.artifacts.errors import NetworkError
from scripts.artifacts.initial_weights import (
    WeightsError,
    write_initial_weights,
    write_own_weights,
)
from scripts.artifacts.networks import find_network
from scripts.artifacts.networks.architecture import Architecture
from scripts.artifacts.networks.own import IMAGENET_MEAN, IMAGENET_STD, OwnTransforms, read_own
from scripts.project import COMMITTED, ROOT


@dataclass(frozen=True)
class Job:
    """One artifact folder to build.

    Attributes:
        source: the PyTorch module, or the graph of an own ONNX file.
        folder: where it is, or goes.
    """

    architecture: Architecture
    source: nn.Module | onnx.ModelProto
    input_size: int
    folder: Path


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code."""
    options = _parser().parse_args(arguments)
    names = options.arch or ([] if options.onnx else list(COMMITTED))
    failed = False
    for name in (*names, *([options.onnx] if options.onnx else [])):
        try:
            failed = not _run(_job(name, options), options) or failed
        except (NetworkError, WeightsError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed = True
    if failed and options.check:
        print("rebuild them with: npm run artifacts -- --weights none", file=sys.stderr)
    return 1 if failed else 0


def _job(name: str | Path, options: argparse.Namespace) -> Job:
    """Opens a network by its name, or an ONNX file by its path."""
    architecture: Architecture
    source: nn.Module | onnx.ModelProto
    if isinstance(name, Path):
        mean, std = tuple(options.mean), tuple(options.std)
        settings = OwnTransforms(mean, std, options.interpolation, options.crop_fraction)
        architecture, source = read_own(name, settings)
    else:
        network = find_network(name)
        torch.manual_seed(options.seed)
        architecture, source = network, network.build(DEFAULT_CLASSES)
    input_size = options.input_size or architecture.input_size
    name_alone = architecture.folder(architecture.input_size)
    if options.out is not None:
        folder = options.out / name_alone
    else:
        committed = COMMITTED.get(name_alone, ROOT / "artifacts" / name_alone)
        folder = committed.with_name(architecture.folder(input_size))
    return Job(architecture, source, input_size, folder)


def _run(job: Job, options: argparse.Namespace) -> bool:
    """Builds one folder, or compares it; returns False if it differs."""
    name = job.architecture.name
    built = build(job.architecture, job.source, job.input_size)
    if options.check:
        found = differences(built.files, job.folder)
        for line in found:
            print(f"{name}: {line}", file=sys.stderr)
        if not found:
            print(f"{name}: {len(built.files)} files rebuilt, identical")
        return not found
    files = built.files
    if options.supersede is not None:
        files = supersede(files, job.folder, same_function=options.supersede == "same")
    write(files, job.folder)
    network = built.prepared.network
    print(f"{name}: {len(built.files)} files in {job.folder}")
    print(f"{name}: the head is {' and '.join(sorted(network.head))}")
    for sentence in built.prepared.lost:
        print(f"{name}: the file has lost: {sentence}")
    _write_weights(job, built, options.weights)
    return True


def _write_weights(job: Job, built: Built, weights: str) -> None:
    """Writes the initial weights, unless told not to or there are none."""
    architecture = job.architecture
    if weights == "none":
        return
    if weights == "imagenet" and not isinstance(job.source, nn.Module):
        path = write_own_weights(architecture, built.prepared, job.folder)
    elif weights == "imagenet" and not _obtainable(architecture):
        return
    else:
        state = job.source.state_dict() if isinstance(job.source, nn.Module) else {}
        path = write_initial_weights(
            weights, architecture, built.prepared.network, job.folder, state=state
        )
    print(f"{architecture.name}: initial weights ({weights}) in {path}")


def _obtainable(architecture: Architecture) -> bool:
    weights = architecture.pretrained
    return weights is not None and (weights.url is not None or weights.package is not None)


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="npm run artifacts --", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--arch", action="append", help="torchvision's name, or timm/NAME (repeatable)")
    add("--onnx", type=Path, help="a classifier of your own: an ONNX file")
    add("--check", action="store_true", help="compare with the committed files, write nothing")
    add(
        "--supersede",
        choices=["same", "other"],
        help="record the committed graphs in earlier.json: the rebuilt ones compute the same "
        "function, so that runs begun on them go on, or another one",
    )
    add("--out", type=Path, help="parent folder (default: that of the committed artifacts)")
    add("--weights", default="imagenet", help="imagenet (default), random, none or a file")
    add("--input-size", type=int, help="side of the input in pixels (default: the network's own)")
    add("--seed", type=int, default=0, help="seed of --weights random (default 0)")
    own = parser.add_argument_group("images of --onnx (defaults: torchvision's for ImageNet)")
    own.add_argument("--mean", type=_numbers, default=IMAGENET_MEAN, help="three numbers: R,G,B")
    own.add_argument("--std", type=_numbers, default=IMAGENET_STD, help="three numbers: R,G,B")
    own.add_argument("--interpolation", choices=["bilinear", "bicubic"], default="bilinear")
    own.add_argument("--crop-fraction", type=float, default=0.875, help="crop / shorter side")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
