"""Gradients of normalisations."""

from __future__ import annotations

import onnx_ir as ir

from scripts.artifacts.autodiff.tape import MS, TRAIN, Tape, attributes_of


def batch_norm(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """Records BatchNormalizationGrad(dY, X, gamma, mean, 1 / std) -> dX, dgamma, dbeta.

    The node is BatchNormInternal, whose outputs 3 and 4 are the mean and 1 / std of the batch.
    """
    x, gamma, beta = node.inputs[:3]
    assert x is not None and gamma is not None and beta is not None
    read = [gradient, x, gamma, node.outputs[3], node.outputs[4]]
    attributes = {"epsilon": node.attributes.get_float("epsilon", 1e-5)}
    shapes = [x.shape, gamma.shape, beta.shape]
    parts = tape.emit_all("BatchNormalizationGrad", read, attributes, shapes=shapes, domain=MS)
    for value, part in zip((x, gamma, beta), parts, strict=True):
        tape.add(value, part)


def layer_norm(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """Records LayerNormalizationGrad(dY, X, scale) -> dX, dscale, dshift."""
    x, scale = node.inputs[:2]
    shift = node.inputs[2] if len(node.inputs) > 2 else None
    assert x is not None and scale is not None
    shapes = [x.shape, scale.shape, scale.shape]
    attributes = attributes_of(node)
    given = [gradient, x, scale]
    parts = tape.emit_all("LayerNormalizationGrad", given, attributes, shapes=shapes, domain=TRAIN)
    for value, part in zip((x, scale, shift), parts, strict=True):
        tape.add(value, part)
