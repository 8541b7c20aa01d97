"""Builds all files of one artifact folder, and compares them with those on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir as ir
from torch import nn

from scripts.artifacts.forward import Prepared, prepare
from scripts.artifacts.gradient_way import GradientWay, gradient_way
from scripts.artifacts.graphs.data_parallel import build_gradients_graph, build_update_graph
from scripts.artifacts.graphs.gpu import build_gpu_training_graph, build_state_graph
from scripts.artifacts.graphs.head import build_head_graph
from scripts.artifacts.graphs.inference import build_evaluation_graph, build_inference_template
from scripts.artifacts.graphs.preprocessing import (
    Transforms,
    build_preprocess_evaluate,
    build_preprocess_train,
)
from scripts.artifacts.graphs.training import build_training_graph
from scripts.artifacts.lowering.gpu.support import has_gpu_rules
from scripts.artifacts.manifest import Description, build_manifest
from scripts.artifacts.networks.architecture import Architecture, ModuleArchitecture
from scripts.artifacts.networks.initializers import initializers
from scripts.artifacts.networks.own import own_initializers
from scripts.artifacts.stored import MANIFEST, SUFFIX, read_stored, write_stored

DEFAULT_CLASSES = 2

Graph = tuple[str, onnx.ModelProto]
"""File name and content of a graph."""


@dataclass(frozen=True)
class Built:
    """All files of one artifact folder.

    Attributes:
        files: file name -> content. Graphs are ONNX models here; ``write`` stores them gzip'ed.
    """

    prepared: Prepared
    files: Mapping[str, bytes]


def build(
    architecture: Architecture, source: nn.Module | onnx.ModelProto, input_size: int
) -> Built:
    """Builds all files of one network.

    Args:
        source: the PyTorch module, or the graph of an own ONNX file.

    Raises:
        NetworkError: the network cannot be built.
    """
    prepared = prepare(source, input_size)
    way = gradient_way(prepared)
    template, folds = build_inference_template(prepared.network, prepared.proto)
    models = {
        **_training_graphs(prepared, way),
        "inference": ("inference.onnx", ir.to_proto(template)),
        **_preprocessing_graphs(architecture.transforms(input_size)),
    }
    graphs = {key: (f"{name}{SUFFIX}", _content(model)) for key, (name, model) in models.items()}
    network = prepared.network
    names = [*network.parameters, *network.buffers]
    if isinstance(architecture, ModuleArchitecture):
        init = initializers(lambda: architecture.build(DEFAULT_CLASSES), names)
    else:
        init = own_initializers(network, prepared.proto)
    description = Description(architecture, prepared, init, folds, way.name)
    manifest = build_manifest(description, graphs)
    return Built(prepared, {MANIFEST: manifest.encode(), **dict(graphs.values())})


def _training_graphs(prepared: Prepared, way: GradientWay) -> dict[str, Graph]:
    """Returns the graphs that train and evaluate, by key of the manifest."""
    network, forward = prepared.network, prepared.proto
    gradient = way.differentiate(prepared, list(network.parameters))
    head_gradient = way.differentiate(prepared, list(network.head_only().parameters))
    # The driver's fingerprint of the graphs depends on their order, so it is kept.
    models = {
        "train": build_training_graph(network, gradient),
        "trainExtended": build_training_graph(network, gradient, extended=True),
    }
    if has_gpu_rules(gradient.nodes):
        models |= {
            "trainCuda": build_gpu_training_graph(network, gradient, loop=True),
            "trainWebgpu": build_gpu_training_graph(network, gradient, loop=False),
            "packedState": build_state_graph(network),
        }
    models |= {
        "trainHead": build_head_graph(network, head_gradient),
        "gradients": build_gradients_graph(network, gradient),
        "gradientsHead": build_gradients_graph(network, head_gradient, frozen=True),
        "update": build_update_graph(network),
        "updateExtended": build_update_graph(network, extended=True),
        "updateHead": build_update_graph(network.head_only(), extended=True),
        "evaluate": build_evaluation_graph(network, forward),
    }
    return {key: (f"{_snake(key)}.onnx", ir.to_proto(model)) for key, model in models.items()}


def _preprocessing_graphs(transforms: Transforms) -> dict[str, Graph]:
    return {
        "preprocessTrain": ("preprocess_train.onnx", build_preprocess_train(transforms)),
        "preprocessEvaluate": ("preprocess_evaluate.onnx", build_preprocess_evaluate(transforms)),
    }


def _snake(key: str) -> str:
    """Returns ``train_cuda`` for ``trainCuda``."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in key)


def _content(model: onnx.ModelProto) -> bytes:
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def write(files: Mapping[str, bytes], folder: Path) -> None:
    """Writes the files of one architecture into ``folder``, and removes graphs of other names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_stored(folder / name, content)
    for path in _left_over(files, folder):
        path.unlink()


def differences(files: Mapping[str, bytes], folder: Path) -> list[str]:
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


def _left_over(files: Mapping[str, bytes], folder: Path) -> list[Path]:
    graphs = [*folder.glob("*.onnx"), *folder.glob(f"*.onnx{SUFFIX}")]
    return sorted(path for path in graphs if path.name not in files)
