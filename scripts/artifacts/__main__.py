"""Builds the artifact folders: graphs, manifest and, unless told otherwise, initial weights.

npm run artifacts                       # the committed folders: the ResNets, and tiny for tests
npm run artifacts -- --check            # rebuild, and compare with the committed files
npm run artifacts -- --arch resnet50 --out DIR --weights random
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from scripts.artifacts.architectures import ARCHITECTURES
from scripts.artifacts.build import DEFAULT_CLASSES, build_graphs, differences, write
from scripts.artifacts.earlier import supersede
from scripts.artifacts.initial_weights import WeightsError, write_initial_weights
from scripts.project import COMMITTED


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code."""
    options = _parser().parse_args(arguments)
    failed = False
    for name in options.arch or list(COMMITTED):
        architecture = ARCHITECTURES[name]
        input_size = options.input_size or architecture.input_size
        torch.manual_seed(options.seed)
        model = architecture.build(DEFAULT_CLASSES)
        files = build_graphs(architecture, model, input_size)
        folder = COMMITTED[name]
        if input_size != architecture.input_size:
            folder = folder.with_name(f"{name}-{input_size}")
        if options.out:
            folder = options.out / name
        if options.check:
            found = differences(files, folder)
            for line in found:
                print(f"{name}: {line}", file=sys.stderr)
            failed = failed or bool(found)
            if not found:
                print(f"{name}: {len(files)} files rebuilt, identical")
            continue
        if options.supersede is not None:
            files = supersede(files, folder, same_function=options.supersede == "same")
        write(files, folder)
        print(f"{name}: {len(files)} files in {folder}")
        if options.weights != "none" and (architecture.pretrained or options.weights != "imagenet"):
            try:
                path = write_initial_weights(options.weights, architecture, model, folder)
            except WeightsError as error:
                print(f"{name}: {error}", file=sys.stderr)
                failed = True
            else:
                print(f"{name}: initial weights ({options.weights}) in {path}")
    if failed and options.check:
        print("rebuild them with: npm run artifacts -- --weights none", file=sys.stderr)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="npm run artifacts --", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--arch", action="append", choices=list(ARCHITECTURES), help="network (repeatable)")
    add("--check", action="store_true", help="compare with the committed files, write nothing")
    add(
        "--supersede",
        choices=["same", "other"],
        help="record the committed graphs in earlier.json: the rebuilt ones compute the same "
        "function, so that runs begun on them go on, or another one",
    )
    add("--out", type=Path, help="parent folder (default: that of the committed artifacts)")
    add("--weights", default="imagenet", help="imagenet (default), random, none or a file")
    add("--input-size", type=int, help="side of the input in pixels (default: 224, tiny 32)")
    add("--seed", type=int, default=0, help="seed of --weights random (default 0)")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
