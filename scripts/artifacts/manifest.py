"""manifest.json: the one definition of names, shapes, preprocessing constants and provenance.

Its reader in src/artifacts declares the types of the document.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

import onnx

from scripts.artifacts.earlier import read_earlier
from scripts.artifacts.forward import Prepared
from scripts.artifacts.graph_builder import decimal
from scripts.artifacts.graphs.data_parallel import GRADIENT_PREFIX
from scripts.artifacts.graphs.gpu import PACKED
from scripts.artifacts.graphs.inference import Fold
from scripts.artifacts.network import OUTPUT_PREFIX, Masks
from scripts.artifacts.networks.architecture import Architecture, Pretrained
from scripts.artifacts.networks.initializers import Distribution
from scripts.project import ROOT

FORMAT_VERSION = 2

TOOLS = ("numpy", "onnx", "onnx-ir", "onnxruntime-training-cpu", "timm", "torch", "torchvision")

DTYPES: dict[int, str] = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.INT64: "int64",
    onnx.TensorProto.UINT8: "uint8",
    onnx.TensorProto.BOOL: "bool",
}

GRAPH_KEYS: dict[str, dict[str, Any]] = {
    "train": {"loop": "Scan", "outputPrefix": OUTPUT_PREFIX},
    "trainExtended": {"loop": "Scan", "outputPrefix": OUTPUT_PREFIX},
    "trainHead": {"loop": "Scan", "outputPrefix": OUTPUT_PREFIX},
    "trainCuda": {"outputPrefix": OUTPUT_PREFIX, "packed": PACKED, "loop": "Scan"},
    "trainWebgpu": {"outputPrefix": OUTPUT_PREFIX, "packed": PACKED, "loop": "none"},
    "packedState": {"outputPrefix": OUTPUT_PREFIX, "packed": PACKED},
    "gradients": {"outputPrefix": OUTPUT_PREFIX},
    "gradientsHead": {"outputPrefix": OUTPUT_PREFIX},
    "update": {"outputPrefix": OUTPUT_PREFIX, "gradientPrefix": GRADIENT_PREFIX},
    "updateExtended": {"outputPrefix": OUTPUT_PREFIX, "gradientPrefix": GRADIENT_PREFIX},
    "updateHead": {"outputPrefix": OUTPUT_PREFIX, "gradientPrefix": GRADIENT_PREFIX},
}
"""Facts of a graph that the manifest adds to its file and interface, by its key."""

LOCK = ROOT / "scripts/requirements.lock"


@dataclass(frozen=True)
class Description:
    """Facts of a network that its manifest holds.

    Attributes:
        init: how each parameter and buffer is initialised, by name.
        folds: for each convolution, the BatchNorm to fold into it for the inference template.
        gradient: the program that derived the gradients.
    """

    architecture: Architecture
    prepared: Prepared
    init: Mapping[str, Distribution]
    folds: Sequence[Fold]
    gradient: str


def build_manifest(description: Description, graphs: Mapping[str, tuple[str, bytes]]) -> str:
    """Returns the manifest's text.

    Args:
        graphs: manifest key -> file name and content.
    """
    architecture, network = description.architecture, description.prepared.network
    init = {name: distribution.entry() for name, distribution in description.init.items()}
    document = {
        "formatVersion": FORMAT_VERSION,
        "arch": architecture.name,
        "preprocessing": preprocessing(architecture, network.input_size),
        "graphs": graph_entries(graphs, description.folds),
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
        "masks": mask_layout(network.masks),
        "batchNorm": batch_norm(description.prepared.proto),
        "pretrained": pretrained(architecture.pretrained),
        "lost": list(description.prepared.lost),
        "earlier": read_earlier().get(architecture.name, []),
        "provenance": {
            "network": architecture.source,
            "forward": "scripts/artifacts/forward",
            "gradient": description.gradient,
            "lowering": "scripts/artifacts/lowering",
            "requirementsSha256": hashlib.sha256(LOCK.read_bytes()).hexdigest(),
        },
        "toolVersions": {tool: metadata.version(tool) for tool in TOOLS},
    }
    return json.dumps(document, indent=1) + "\n"


def preprocessing(architecture: Architecture, input_size: int) -> dict[str, Any]:
    """Returns the publisher's constants; the crop's ranges are RandomResizedCrop's defaults."""
    found = architecture.transforms(input_size)
    return {
        "mean": list(found.mean),
        "std": list(found.std),
        "inputSize": found.input_size,
        "resizeSize": found.resize_size,
        "cropFraction": architecture.crop_fraction,
        "interpolation": found.interpolation,
        "antialias": True,
        "cropScale": [0.08, 1.0],
        "cropRatio": [3 / 4, 4 / 3],
        "flipProbability": 0.5,
    }


def graph_entries(
    graphs: Mapping[str, tuple[str, bytes]], folds: Sequence[Fold]
) -> dict[str, dict[str, Any]]:
    """Returns the entries of all graphs by manifest key; arguments as for ``build_manifest``."""
    entries = {
        key: graph_entry(file, content) | GRAPH_KEYS.get(key, {})
        for key, (file, content) in graphs.items()
    }
    entries["inference"]["fold"] = [fold_entry(fold) for fold in folds]
    return entries


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


def fold_entry(fold: Fold) -> dict[str, Any]:
    """Returns the names of a convolution and of the BatchNorm that is folded into it."""
    weight, bias, mean, variance = fold.batch_norm
    return {
        "weight": fold.weight,
        "bias": fold.bias,
        "convolutionBias": fold.convolution_bias,
        "batchNorm": {"weight": weight, "bias": bias, "mean": mean, "variance": variance},
        "epsilon": fold.epsilon,
    }


def mask_layout(layout: Masks) -> dict[str, Any] | None:
    """Returns the layout of Dropout and stochastic depth; None if the network has neither."""
    if not layout.width:
        return None
    return {"width": layout.width, "entries": [asdict(entry) for entry in layout.entries]}


def batch_norm(forward: onnx.ModelProto) -> dict[str, float] | list[dict[str, float]] | None:
    """Returns the settings of the BatchNorm layers: a list in the graph's order if they differ."""
    layers = []
    for node in forward.graph.node:
        if node.op_type == "BatchNormalization":
            found = {a.name: a.f for a in node.attribute if a.name in ("momentum", "epsilon")}
            keep, epsilon = found.get("momentum", 0.9), found.get("epsilon", 1e-5)
            layers.append({"momentum": decimal(1 - decimal(keep)), "epsilon": decimal(epsilon)})
    if all(layer == layers[0] for layer in layers):
        return layers[0] if layers else None
    return layers


def pretrained(weights: Pretrained | None) -> dict[str, Any] | None:
    """Returns where the published weights are; None if there are none."""
    if weights is None:
        return None
    return {_camel(key): value for key, value in asdict(weights).items()}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
