"""Gradient of a convolution."""

from __future__ import annotations

import onnx_ir as ir

from scripts.artifacts.autodiff.tape import Tape, attributes_of


def conv(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """Records ConvGrad(dY, X, W) -> dX, dW, dB, with the Conv's attributes, such as ``group``.

    Y[n,o,p] = b[o] + sum_{c,k} W[o,c,k] X[n,c,s p + d k] →
    dW[o,c,k] = sum_{n,p} dY[n,o,p] X[n,c,s p + d k],
    dX[n,c,q] = sum_{o,k,p: s p + d k = q} dY[n,o,p] W[o,c,k],  db[o] = sum_{n,p} dY[n,o,p].
    """
    inputs = [value for value in node.inputs if value is not None]
    read = [tape.needs(value) for value in inputs]
    shapes = [value.shape for value in inputs]
    given = [gradient, *inputs[:2]]
    parts = tape.emit_all("ConvGrad", given, attributes_of(node), shapes=shapes, read=read)
    for value, part in zip(inputs, parts, strict=True):
        tape.add(value, part)
