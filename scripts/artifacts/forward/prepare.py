"""From a PyTorch module or an ONNX file to the forward graph that the builders read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx
import onnx_ir as ir
from torch import nn

from scripts.artifacts.errors import NetworkError
from scripts.artifacts.forward.draft import Array, Draft
from scripts.artifacts.forward.export import COUNTER, export_forward
from scripts.artifacts.forward.file import read_file
from scripts.artifacts.forward.head import find_head
from scripts.artifacts.forward.randomness import masks_of
from scripts.artifacts.forward.simplify import simplify
from scripts.artifacts.network import Network, Shape


@dataclass(frozen=True)
class Prepared:
    """A forward graph with nothing left to simplify, and the network that it computes.

    Attributes:
        proto: images [N, 3, S, S] -> logits [N, C]. Parameters and running statistics are its
            initializers, under their publisher's names. Every other shape is fixed.
        lost: what an inference export no longer holds, one sentence each; empty for a module.
    """

    proto: onnx.ModelProto
    network: Network
    lost: tuple[str, ...] = ()

    @property
    def weights(self) -> Mapping[str, Array]:
        """The parameters and running statistics that an ONNX file holds, by name."""
        state = {**self.network.parameters, **self.network.buffers}
        tensors = {t.name: t for t in self.proto.graph.initializer}
        return {name: onnx.numpy_helper.to_array(tensors[name]) for name in state}


def prepare(source: nn.Module | onnx.ModelProto, input_size: int) -> Prepared:
    """Makes a network ready for the builders.

    Args:
        source: a PyTorch module, or a classifier's ONNX file with one input and one output.

    Raises:
        NetworkError: the network cannot be exported, or its graph does not have the form of an
            image classifier.
    """
    if isinstance(source, nn.Module):
        return _module(source, input_size)
    draft = read_file(source, input_size)
    simplify(draft)
    names = [v.name or "" for v in draft.graph.initializers.values() if v.name in draft.state]
    return _prepared(draft, names, counters=[], input_size=input_size)


def _module(module: nn.Module, input_size: int) -> Prepared:
    _refuse_tied(module)
    exported = export_forward(module, input_size)
    held = {tensor.name for tensor in exported.graph.initializer}
    names = [name for name, _ in module.named_parameters()]
    missing = [name for name in names if name not in held]
    if missing:
        raise NetworkError(
            "expected every parameter in the exported graph, got none of "
            f"{', '.join(missing[:5])}; build the network without the layers that its forward "
            "pass does not use"
        )
    model = ir.from_proto(exported)
    draft = Draft(model, {*names, *_statistics(model.graph)})
    simplify(draft)
    counters = [name for name, _ in module.named_buffers() if name.endswith(COUNTER)]
    return _prepared(draft, names, counters, input_size, order=list(module.state_dict()))


def _refuse_tied(module: nn.Module) -> None:
    """Refuses two names of one tensor: a checkpoint would hold it twice, and train it twice."""
    seen: dict[int, str] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        first = seen.setdefault(id(parameter), name)
        if first != name:
            raise NetworkError(
                f"expected parameters of their own, got one tensor under the names {first} and "
                f"{name}; networks with tied weights cannot be trained"
            )


def _statistics(graph: ir.Graph) -> list[str]:
    """Returns the names of BatchNorm's running statistics, in the order of the nodes."""
    found = [
        value.name
        for node in graph
        if node.op_type == "BatchNormalization"
        for value in node.inputs[3:5]
        if value is not None and value.name is not None
    ]
    return list(dict.fromkeys(found))


def _prepared(
    draft: Draft,
    names: list[str],
    counters: list[str],
    input_size: int,
    *,
    order: list[str] | None = None,
) -> Prepared:
    head = find_head(draft)
    graph = draft.graph
    statistics = _statistics(graph)
    if order is not None:
        statistics.sort(key=order.index)
    shapes: dict[str, Shape] = {}
    for name in (*names, *statistics):
        value = graph.initializers.get(name)
        if value is None or value.shape is None:
            raise NetworkError(
                f"expected the logits to depend on every parameter, got none on {name}; "
                "build the network without it"
            )
        shapes[name] = [int(d) for d in value.shape if isinstance(d, int)]
    shapes |= head
    learned = [name for name in names if name not in statistics]
    network = Network(
        parameters={name: shapes[name] for name in learned},
        buffers={name: shapes[name] for name in statistics},
        counters=counters,
        head=frozenset(head),
        input_size=input_size,
        masks=masks_of(draft, frozenset(head)),
    )
    _refuse_symbolic(draft)
    return Prepared(ir.to_proto(draft.model), network, tuple(draft.lost))


def _refuse_symbolic(draft: Draft) -> None:
    """Refuses a shape that is unknown although the size of the images is known."""
    for node in draft.graph:
        for value in node.outputs:
            if value.uses() and value.shape is None and value.dtype != ir.DataType.INT64:
                raise NetworkError(
                    "expected a shape that depends on N alone, got an unknown one for the output "
                    f"of {node.op_type} ({node.name}); export the network with fixed image sizes"
                )
