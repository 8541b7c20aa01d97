"""Loss, logits and gradients of a whole network, from its gradient graph and from PyTorch."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import onnx_ir as ir
import torch
import torch.nn.functional as F
from torch import nn

from scripts.artifacts.differentiate import GradientGraph
from scripts.artifacts.gradient_stage import bind, bind_masks
from scripts.artifacts.graph_builder import GraphBuilder, standard_model, typed_value
from scripts.artifacts.lowering import lower
from scripts.artifacts.network import MASKS, Masks, Network
from scripts.reference.evaluator import Array, run_reference
from scripts.reference.lowering_rule import backpropagate
from scripts.reference.masks import Masks as GivenMasks
from scripts.reference.masks import given_masks

DOUBLE = ir.DataType.DOUBLE


@dataclass(frozen=True)
class Sample:
    """One batch: images [N, 3, S, S], labels [N], masks [N, D], in float64."""

    images: torch.Tensor
    labels: torch.Tensor
    masks: torch.Tensor
    classes: int


def random_sample(network: Network, count: int, classes: int, seed: int = 0) -> Sample:
    """Returns normal pixels, uniform labels, and masks as the driver would draw them."""
    generator = torch.Generator().manual_seed(seed)
    size = network.input_size
    images = torch.randn(count, 3, size, size, dtype=torch.double, generator=generator)
    masks = torch.zeros(count, network.masks.width, dtype=torch.double)
    for entry in network.masks.entries:
        drawn = torch.rand(count, entry.width, generator=generator) >= entry.p
        masks[:, entry.offset : entry.offset + entry.width] = drawn.double() / (1 - entry.p)
    labels = torch.arange(count) % classes
    return Sample(images, labels, masks, classes)


def graph_gradients(
    network: Network, graph: GradientGraph, state: Mapping[str, Array], sample: Sample
) -> dict[str, Array]:
    """Lowers the gradient graph and computes it in float64: loss, logits, gradients by name."""
    size = network.input_size
    shapes = {**network.parameters, **network.buffers}
    shapes |= {"images": ["N", 3, size, size], "targets": ["N", "C"]}
    shapes |= {MASKS: ["N", network.masks.width]} if network.masks.width else {}
    inputs = {name: typed_value(name, DOUBLE, shape) for name, shape in shapes.items()}
    op = GraphBuilder(DOUBLE)
    bind(op, graph, graph.nodes, inputs)
    op.values |= {graph.images: inputs["images"], graph.labels: inputs["targets"]}
    bind_masks(op, network, inputs.get(MASKS))
    lower(op, graph.nodes)
    found = {"loss": graph.loss, "logits": graph.logits, **graph.gradients}
    outputs = []
    for name, value in found.items():
        output = op.Identity(op.lowered(value))
        output.name, output.type = f"result.{name}", ir.TensorType(DOUBLE)
        outputs.append(output)
    model = standard_model("gradients", list(inputs.values()), outputs, op.nodes, op.constants)
    feeds = {name: state[name].astype(np.float64) for name in shapes if name in state}
    feeds["images"] = sample.images.numpy()
    feeds["targets"] = F.one_hot(sample.labels, sample.classes).numpy() / len(sample.labels)
    if network.masks.width:
        feeds[MASKS] = sample.masks.numpy()
    results = run_reference(ir.to_proto(model), feeds)
    return {name.removeprefix("result."): array for name, array in results.items()}


def torch_gradients(model: nn.Module, masks: Masks, sample: Sample) -> dict[str, Array]:
    """Returns the same from PyTorch's autograd; does not change the model."""
    model = copy.deepcopy(model).double().train()
    layers = [asdict(entry) for entry in masks.entries]
    with given_masks(GivenMasks(sample.masks, layers)):
        logits = model(sample.images)
    loss = F.cross_entropy(logits, sample.labels)
    backpropagate(loss)
    found = {"loss": loss.detach().numpy(), "logits": logits.detach().numpy()}
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        found[name] = parameter.grad.numpy()
    return found


def exact_epsilons(model: nn.Module) -> None:
    """Rounds each epsilon to a power of two, which an attribute of ONNX holds exactly.

    An attribute is a float32: 1e-6 is another number there, and float64 results would differ.
    """
    for module in model.modules():
        epsilon = getattr(module, "eps", None)
        if isinstance(epsilon, float):
            module.__dict__["eps"] = 2.0 ** round(math.log2(epsilon))


def worst_error(found: Mapping[str, Array], expected: Mapping[str, Array]) -> tuple[float, str]:
    """Returns the largest relative error of a tensor, and its name.

    A gradient whose exact value is 0 (a bias before BatchNorm) is compared with the largest one.
    """
    assert set(found) == set(expected), set(found) ^ set(expected)
    largest = max(float(np.linalg.norm(array)) for array in expected.values())
    errors = []
    for name, array in expected.items():
        scale = max(float(np.linalg.norm(array)), 1e-6 * largest)
        errors.append((float(np.linalg.norm(found[name] - array)) / scale, name))
    return max(errors)
