"""Builds all files of one artifact folder, and compares them with those on disk."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx_ir as ir
from torch import nn

from scripts.artifacts.architectures import Architecture
from scripts.artifacts.differentiate import differentiate
from scripts.artifacts.forward import prepare
from scripts.artifacts.graphs.data_parallel import build_gradients_graph, build_update_graph
from scripts.artifacts.graphs.gpu import build_gpu_training_graph, build_state_graph
from scripts.artifacts.graphs.head import build_head_graph
from scripts.artifacts.graphs.inference import build_evaluation_graph, build_inference_template
from scripts.artifacts.graphs.preprocessing import (
    build_preprocess_evaluate,
    build_preprocess_train,
)
from scripts.artifacts.graphs.training import build_training_graph
from scripts.artifacts.manifest import build_manifest
from scripts.artifacts.stored import MANIFEST, SUFFIX, read_stored, write_stored

DEFAULT_CLASSES = 2


def build_graphs(architecture: Architecture, model: nn.Module, input_size: int) -> dict[str, bytes]:
    """Builds all files that are committed for one architecture: file name -> content.

    Graphs are ONNX models here; ``write`` stores them gzip'ed.
    """
    prepared = prepare(model, input_size)
    network, forward = prepared.network, prepared.proto
    gradient = differentiate(forward, list(network.parameters))
    head_gradient = differentiate(forward, list(network.head_only().parameters))
    template, folds = build_inference_template(network, forward)
    transforms = architecture.transforms(input_size)
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
            _checked(build_update_graph(network.head_only(), extended=True)),
        ),
        "evaluate": ("evaluate.onnx", _checked(build_evaluation_graph(network, forward))),
        "inference": ("inference.onnx", _checked(template)),
        "preprocessTrain": (
            "preprocess_train.onnx",
            build_preprocess_train(transforms).SerializeToString(deterministic=True),
        ),
        "preprocessEvaluate": (
            "preprocess_evaluate.onnx",
            build_preprocess_evaluate(transforms).SerializeToString(deterministic=True),
        ),
    }
    stored = {key: (f"{name}{SUFFIX}", content) for key, (name, content) in graphs.items()}
    manifest = build_manifest(architecture, model, network, stored, folds)
    return {MANIFEST: manifest.encode(), **dict(stored.values())}


def _checked(model: ir.Model) -> bytes:
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def write(files: dict[str, bytes], folder: Path) -> None:
    """Writes the files of one architecture into ``folder``, and removes graphs of other names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_stored(folder / name, content)
    for path in _left_over(files, folder):
        path.unlink()


def differences(files: dict[str, bytes], folder: Path) -> list[str]:
    """Returns one line per file of ``folder`` that is missing, changed or not in ``files``."""
    found = []
    for name, content in files.items():
        path = folder / name
        if not path.is_file():
            found.append(f"{name}: expected {len(content)} bytes, found no file")
        elif read_stored(path) != content:
            found.append(f"{name}: expected {len(content)} bytes, found other content")
    for path in _left_over(files, folder):
        found.append(f"{path.name}: expected no such file, found one that nothing builds")
    return found


def _left_over(files: dict[str, bytes], folder: Path) -> list[Path]:
    graphs = [*folder.glob("*.onnx"), *folder.glob(f"*.onnx{SUFFIX}")]
    return sorted(path for path in graphs if path.name not in files)
