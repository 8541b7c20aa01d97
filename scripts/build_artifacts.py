"""Builds the artifact folders: graphs, manifest and, unless told otherwise, initial weights.

npm run artifacts                       # what is committed: the ResNets, and tiny for tests
npm run artifacts -- --check            # rebuild and compare with what is committed, byte by byte
npm run artifacts -- --arch resnet50 --out DIR --weights random
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import onnx
import onnx_ir as ir
import torch
from torch import nn

from scripts.architectures import ARCHITECTURES, IMAGENET_MEAN, IMAGENET_STD, Architecture
from scripts.evaluation_graph import build_evaluation_graph, build_inference_template
from scripts.gpu_graphs import build_gpu_training_graph, build_state_graph
from scripts.gradient_graph import differentiate, export_forward
from scripts.head_graph import build_head_graph
from scripts.initial_weights import WeightsError, write_initial_weights
from scripts.manifest import build_manifest
from scripts.network import Network
from scripts.preprocessing import build_preprocess_evaluate, build_preprocess_train
from scripts.split_graphs import build_gradients_graph, build_update_graph
from scripts.training_graph import build_training_graph

ROOT = Path(__file__).resolve().parent.parent
COMMITTED = {
    **{name: ROOT / "artifacts" / name for name in ("resnet18", "resnet34", "resnet50")},
    "tiny": ROOT / "test/fixtures/tiny",
}
DEFAULT_CLASSES = 2
MANIFEST = "manifest.json"


def build_graphs(architecture: Architecture, model: nn.Module, input_size: int) -> dict[str, bytes]:
    """Everything that is committed for one architecture: file name -> content."""
    network = Network.of(model, input_size)
    forward = export_forward(model, input_size)
    gradient = differentiate(forward, list(network.parameters))
    head_gradient = differentiate(forward, list(network.head_alone().parameters))
    template, folds = build_inference_template(network, forward)
    resize = architecture.resize_size(input_size)
    graphs = {
        "train": ("train.onnx", _checked(build_training_graph(network, gradient))),
        "trainExtended": (
            "train_extended.onnx",
            _checked(build_training_graph(network, gradient, extended=True)),
        ),
        "trainCuda": (
            "train_cuda.onnx",
            _checked(build_gpu_training_graph(network, gradient, loop=True)),
        ),
        "trainWebgpu": (
            "train_webgpu.onnx",
            _checked(build_gpu_training_graph(network, gradient, loop=False)),
        ),
        "packedState": ("packed_state.onnx", _checked(build_state_graph(network))),
        "trainHead": ("train_head.onnx", _checked(build_head_graph(network, head_gradient))),
        "gradients": ("gradients.onnx", _checked(build_gradients_graph(network, gradient))),
        "gradientsHead": (
            "gradients_head.onnx",
            _checked(build_gradients_graph(network, head_gradient, frozen=True)),
        ),
        "update": ("update.onnx", _checked(build_update_graph(network))),
        "updateExtended": (
            "update_extended.onnx",
            _checked(build_update_graph(network, extended=True)),
        ),
        "updateHead": (
            "update_head.onnx",
            _checked(build_update_graph(network.head_alone(), extended=True)),
        ),
        "evaluate": ("evaluate.onnx", _checked(build_evaluation_graph(network, forward))),
        "inference": ("inference.onnx", _checked(template)),
        "preprocessTrain": (
            "preprocess_train.onnx",
            build_preprocess_train(input_size, IMAGENET_MEAN, IMAGENET_STD).SerializeToString(
                deterministic=True
            ),
        ),
        "preprocessEvaluate": (
            "preprocess_evaluate.onnx",
            build_preprocess_evaluate(
                input_size, resize, IMAGENET_MEAN, IMAGENET_STD
            ).SerializeToString(deterministic=True),
        ),
    }
    manifest = build_manifest(architecture, model, network, graphs, folds)
    return {MANIFEST: manifest.encode(), **dict(graphs.values())}


def _checked(model: ir.Model) -> bytes:
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def write(files: dict[str, bytes], folder: Path) -> None:
    """Writes the files of one architecture into ``folder``, which need not exist."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def differences(files: dict[str, bytes], folder: Path) -> list[str]:
    """What is wrong with ``folder``: files that are missing, changed, or none of ``files``."""
    found = []
    for name, content in files.items():
        path = folder / name
        if not path.is_file():
            found.append(f"{name}: expected {len(content)} bytes, found no file")
        elif path.read_bytes() != content:
            found.append(f"{name}: expected {len(content)} bytes, found other content")
    for path in sorted(folder.glob("*.onnx")):
        if path.name not in files:
            found.append(f"{path.name}: expected no such file, found one that nothing builds")
    return found


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
        folder = options.out / name if options.out else COMMITTED[name]
        if options.check:
            found = differences(files, folder)
            for line in found:
                print(f"{name}: {line}", file=sys.stderr)
            failed = failed or bool(found)
            if not found:
                print(f"{name}: {len(files)} files rebuilt, byte-identical")
            continue
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
    add("--out", type=Path, help="parent folder (default: where the committed artifacts are)")
    add("--weights", default="imagenet", help="imagenet (default), random, none or a file")
    add("--input-size", type=int, help="side of the input in pixels (default: 224, tiny 32)")
    add("--seed", type=int, default=0, help="seed of --weights random (default 0)")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
