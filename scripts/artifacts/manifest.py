"""manifest.json: the one definition of names, shapes, preprocessing constants and provenance.

Its reader in src/artifacts declares the types of the document.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from typing import Any

import onnx
from torch import nn

from scripts.artifacts.architectures import CROP_FRACTION, Architecture, initializers
from scripts.artifacts.earlier import read_earlier
from scripts.artifacts.graphs.data_parallel import GRADIENT_PREFIX
from scripts.artifacts.graphs.gpu import PACKED
from scripts.artifacts.graphs.inference import Fold
from scripts.artifacts.network import OUTPUT_PREFIX, Network
from scripts.project import ROOT

FORMAT_VERSION = 2

TOOLS = ("numpy", "onnx", "onnx-ir", "onnxruntime-training-cpu", "torch", "torchvision")

DTYPES: dict[int, str] = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.INT64: "int64",
    onnx.TensorProto.UINT8: "uint8",
    onnx.TensorProto.BOOL: "bool",
}

LOCK = ROOT / "scripts/requirements.lock"


def preprocessing(architecture: Architecture, input_size: int) -> dict[str, Any]:
    """Returns torchvision's constants; the crop's ranges are RandomResizedCrop's defaults."""
    found = architecture.transforms(input_size)
    return {
        "mean": found.mean,
        "std": found.std,
        "inputSize": found.input_size,
        "resizeSize": found.resize_size,
        "cropFraction": CROP_FRACTION,
        "interpolation": found.interpolation,
        "antialias": True,
        "cropScale": [0.08, 1.0],
        "cropRatio": [3 / 4, 4 / 3],
        "flipProbability": 0.5,
    }


def graph_entry(file: str, content: bytes) -> dict[str, Any]:
    """Returns the file name, the SHA-256 of the model and the interface of one graph."""
    graph = onnx.load_from_string(content).graph
    return {
        "file": file,
        "sha256": hashlib.sha256(content).hexdigest(),
        "inputs": [_tensor(v) for v in graph.input],
        "outputs": [_tensor(v) for v in graph.output],
    }


def _tensor(value: onnx.ValueInfoProto) -> dict[str, Any]:
    tensor = value.type.tensor_type
    shape = [d.dim_param or d.dim_value for d in tensor.shape.dim]
    return {"name": value.name, "dtype": DTYPES[tensor.elem_type], "shape": shape}


def graph_entries(
    graphs: Mapping[str, tuple[str, bytes]], folds: Sequence[Fold]
) -> dict[str, dict[str, Any]]:
    """Returns the entries of all graphs by manifest key; arguments as for ``build_manifest``."""
    entries = {key: graph_entry(file, content) for key, (file, content) in graphs.items()}
    for key in ("train", "trainExtended", "trainHead"):
        entries[key] |= {"loop": "Scan", "outputPrefix": OUTPUT_PREFIX}
    for key in ("trainCuda", "trainWebgpu", "packedState"):
        entries[key] |= {"outputPrefix": OUTPUT_PREFIX, "packed": PACKED}
    entries["trainCuda"] |= {"loop": "Scan"}
    entries["trainWebgpu"] |= {"loop": "none"}
    for key in ("gradients", "gradientsHead"):
        entries[key] |= {"outputPrefix": OUTPUT_PREFIX}
    for key in ("update", "updateExtended", "updateHead"):
        entries[key] |= {"outputPrefix": OUTPUT_PREFIX, "gradientPrefix": GRADIENT_PREFIX}
    entries["inference"]["fold"] = [
        {"weight": f.weight, "bias": f.bias, "batchNorm": f.batch_norm, "epsilon": f.epsilon}
        for f in folds
    ]
    return entries


def batch_norm(model: nn.Module) -> dict[str, float] | list[dict[str, float]] | None:
    """Returns the settings of the BatchNorm layers: a list in the module's order if they differ."""
    layers = [
        {"momentum": float(module.momentum), "epsilon": module.eps}
        for module in model.modules()
        if isinstance(module, nn.BatchNorm2d) and module.momentum is not None
    ]
    if all(layer == layers[0] for layer in layers):
        return layers[0] if layers else None
    return layers


def build_manifest(
    architecture: Architecture,
    model: nn.Module,
    network: Network,
    graphs: Mapping[str, tuple[str, bytes]],
    folds: Sequence[Fold],
) -> str:
    """Returns the manifest's text.

    Args:
        graphs: manifest key -> file name and content.
        folds: for each convolution, the BatchNorm to fold into it for the inference template.
    """
    entries = graph_entries(graphs, folds)
    init = initializers(model)
    pretrained = architecture.pretrained
    document = {
        "formatVersion": FORMAT_VERSION,
        "arch": architecture.name,
        "preprocessing": preprocessing(architecture, network.input_size),
        "graphs": entries,
        "parameters": [
            {
                "name": name,
                "shape": list(shape),
                "role": "head" if name in network.head else "backbone",
                "init": init[name],
            }
            for name, shape in network.parameters.items()
        ],
        "buffers": [
            {"name": name, "shape": list(shape), "init": init[name]}
            for name, shape in network.buffers.items()
        ],
        "counters": list(network.counters),
        "masks": None,
        "batchNorm": batch_norm(model),
        "pretrained": None
        if pretrained is None
        else {_camel(key): value for key, value in asdict(pretrained).items()},
        "lost": [],
        "earlier": read_earlier().get(architecture.name, []),
        "provenance": {
            "network": architecture.source,
            "forward": "torch.onnx.export(training=TRAINING, dynamo=False)",
            "gradient": "onnxruntime.training.artifacts.generate_artifacts(CrossEntropyLoss)",
            "lowering": "scripts/artifacts/lowering",
            "requirementsSha256": hashlib.sha256(LOCK.read_bytes()).hexdigest(),
        },
        "toolVersions": {tool: metadata.version(tool) for tool in TOOLS},
    }
    return json.dumps(document, indent=1) + "\n"


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
