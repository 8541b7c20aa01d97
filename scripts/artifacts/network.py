"""Names and shapes of a network's state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import nn

HEAD = "fc"
"""torchvision's name of a ResNet's last layer, the only one whose shape depends on the classes."""

OUTPUT_PREFIX = "next."
"""Prefix of a state output: the new value of the tensor NAME is called next.NAME."""

Shape = Sequence[int | str]


@dataclass(frozen=True)
class Network:
    """Names and shapes of the state, in torchvision's order; ``"C"`` is the class count."""

    parameters: Mapping[str, Shape]
    buffers: Mapping[str, Shape]
    counters: Sequence[str]
    head: frozenset[str]
    input_size: int

    @staticmethod
    def of(model: nn.Module, input_size: int) -> Network:
        """Reads names and shapes from a module that uses torchvision's names."""
        parameters: dict[str, Shape] = {}
        for name, parameter in model.named_parameters():
            shape: list[int | str] = list(parameter.shape)
            if name.startswith(f"{HEAD}."):
                shape[0] = "C"
            parameters[name] = shape
        buffers = {n: b for n, b in model.named_buffers() if not n.endswith("num_batches_tracked")}
        return Network(
            parameters=parameters,
            buffers={name: list(buffer.shape) for name, buffer in buffers.items()},
            counters=[n for n, _ in model.named_buffers() if n not in buffers],
            head=frozenset(name for name in parameters if name.startswith(f"{HEAD}.")),
            input_size=input_size,
        )

    def head_only(self) -> Network:
        """Returns the part that a step changes if the backbone is frozen: the head."""
        head = {name: shape for name, shape in self.parameters.items() if name in self.head}
        return replace(self, parameters=head, buffers={}, counters=[])

    def state(self) -> dict[str, Shape]:
        """Returns all that a step changes: parameters, their momentum, BatchNorm statistics."""
        momentum = {f"momentum.{name}": shape for name, shape in self.parameters.items()}
        return {**self.parameters, **momentum, **self.buffers}
