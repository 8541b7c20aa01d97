"""SGD with momentum and gradient clipping, as PyTorch computes them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from scripts.artifacts.graph_builder import GraphBuilder
from scripts.artifacts.network import Network

SCALARS = ("momentum", "weight_decay")
"""Scalar inputs that all K steps of a call share."""

EXTRA_SCALARS = ("nesterov", "max_norm")
"""Shared scalar inputs of the graphs with Nesterov momentum and clipping.

Both cost passes over the gradients, so the graph ``train`` does without them.
"""


@dataclass(frozen=True)
class Sgd:
    """The numbers of SGD that all tensors share.

    Attributes:
        nesterov: a bool scalar; None if the graph has no Nesterov momentum.
        clip_factor: a scalar that every gradient is multiplied by; None for no multiplication.
    """

    momentum: ir.Value
    weight_decay: ir.Value
    nesterov: ir.Value | None = None
    clip_factor: ir.Value | None = None

    def update(
        self, op: GraphBuilder, weight: ir.Value, velocity: ir.Value, gradient: ir.Value
    ) -> tuple[ir.Value, ir.Value]:
        """Returns the direction d of a tensor's step, w <- w - lr d, and its new velocity.

        As torch.optim.SGD without dampening: g <- g + decay w; v <- momentum v + g; d = v.
        With Nesterov momentum, d = g + momentum v with the new v.
        The first step starts from v = 0, which gives PyTorch's v <- g.
        """
        decay = op.Mul(weight, op.beside(self.weight_decay, weight))
        momentum = op.beside(self.momentum, weight)
        if self.clip_factor is not None:
            gradient = op.Mul(gradient, op.beside(self.clip_factor, weight))
        gradient = op.Add(gradient, decay)
        velocity = op.Add(op.Mul(velocity, momentum), gradient)
        if self.nesterov is None:
            return velocity, velocity
        ahead = op.Add(gradient, op.Mul(velocity, momentum))
        return op.Where(op.beside(self.nesterov, weight), ahead, velocity), velocity


def clip_factor(op: GraphBuilder, gradients: Collection[ir.Value], max_norm: ir.Value) -> ir.Value:
    """Returns min(1, max_norm / (|g| + 1e-6)), |g| over all gradients.

    This is the factor of torch.nn.utils.clip_grad_norm_. It is exactly 1 if ``max_norm`` is
    infinite.
    """
    squares = [op.ReduceSumSquare(gradient, keepdims=0) for gradient in gradients]
    norm = op.Sqrt(op.total(squares))
    ratio = op.Div(max_norm, op.Add(norm, op.number(1e-6)))
    return op.Min(ratio, op.number(1.0))


def clip_stage(
    op: GraphBuilder,
    state: Mapping[str, ir.Value],
    gradients: Mapping[str, ir.Value],
    max_norm: ir.Value,
) -> dict[str, ir.Value]:
    """Returns all gradients multiplied by their ``clip_factor``.

    Args:
        state: the parameters, whose shapes the gradients have.
    """
    op.scope = "clip"
    factor = clip_factor(op, gradients.values(), max_norm)
    return {
        name: op.Mul(gradient, op.beside(factor, state[name]))
        for name, gradient in gradients.items()
    }


def update_stage(
    op: GraphBuilder,
    network: Network,
    state: Mapping[str, ir.Value],
    gradients: Mapping[str, ir.Value],
    rates: Mapping[str, ir.Value],
) -> dict[str, ir.Value]:
    """Returns the new value and momentum of every tensor that has a gradient.

    Args:
        rates: the scalars ``lr``, ``head_lr`` (for tensors of the head), ``momentum``,
            ``weight_decay`` and, for Nesterov momentum, ``nesterov`` (0 or 1).
    """
    op.scope = "update"
    nesterov = op.Greater(rates["nesterov"], op.number(0.0)) if "nesterov" in rates else None
    sgd = Sgd(rates["momentum"], rates["weight_decay"], nesterov)
    updated: dict[str, ir.Value] = {}
    for name, gradient in gradients.items():
        op.scope = f"update/{name}"
        direction, velocity = sgd.update(op, state[name], state[f"momentum.{name}"], gradient)
        lr = rates["head_lr" if name in network.head else "lr"]
        updated[name] = op.Sub(state[name], op.Mul(direction, op.beside(lr, state[name])))
        updated[f"momentum.{name}"] = velocity
    return updated
