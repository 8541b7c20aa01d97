"""Gradients of activations: dX = dY f'(X), element by element.

The gradient dY may have fewer elements than X (one per channel, behind a global pool): the product
broadcasts.
"""

from __future__ import annotations

import math

import onnx_ir as ir

from scripts.artifacts.autodiff.tape import MS, TRAIN, Gradient, Tape, attributes_of, constant


def _named(op_type: str, reads: str, domain: str = TRAIN) -> Gradient:
    """Makes the rule that records OPGrad(dY, X or Y), which the lowering knows."""

    def rule(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
        x = node.inputs[0]
        assert x is not None
        read = x if reads == "X" else node.outputs[0]
        attributes = attributes_of(node)
        tape.add(x, tape.emit(op_type, [gradient, read], attributes, like=x, domain=domain))

    rule.__doc__ = f"Records {op_type}(dY, {reads})."
    return rule


relu = _named("ReluGrad", "Y", MS)
hard_swish = _named("HardSwishGrad", "X")
hard_sigmoid = _named("HardSigmoidGrad", "Y")
sigmoid = _named("SigmoidGrad", "Y")
swish = _named("SwishGrad", "X")
gelu = _named("GeluGrad", "X")
tanh = _named("TanhGrad", "Y")
elu = _named("EluGrad", "X")
leaky_relu = _named("LeakyReluGrad", "X")


def clip(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """DX = dY where min < Y < max: ClipGrad(dY, Y, min, max); a bound may be left out."""
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    bounds = [*node.inputs[1:3], None, None][:2]
    if any(bound is not None and constant(bound) is None for bound in bounds):
        raise tape.refuse(node, "constant bounds", "computed ones")
    tape.add(x, tape.emit("ClipGrad", [gradient, y, *bounds], like=x, domain=TRAIN))


def prelu(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """Y = X where X > 0, else a X: PReluGrad(dY, X, a) -> dX, da."""
    x, slope = node.inputs[:2]
    assert x is not None and slope is not None
    read = [True, tape.needs(slope)]
    shapes = [x.shape, slope.shape]
    parts = tape.emit_all("PReluGrad", [gradient, x, slope], shapes=shapes, domain=TRAIN, read=read)
    tape.add(x, parts[0])
    tape.add(slope, parts[1])


def positive(tape: Tape, gradient: ir.Value, where: ir.Value, like: ir.Value) -> ir.Value:
    """Records dY where ``where`` > 0, else 0: ReluGrad does just that."""
    return tape.emit("ReluGrad", [gradient, where], like=like, domain=MS)


def softplus(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """Y = log(1 + e^X) → dX = dY / (1 + e^-X) = dY Sigmoid(X)."""
    x = node.inputs[0]
    assert x is not None
    tape.add(x, tape.emit("Mul", [gradient, tape.emit("Sigmoid", [x], like=x)], like=x))


def erf(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """DX = dY 2 / sqrt(pi) e^(-X^2)."""
    x = node.inputs[0]
    assert x is not None
    power = tape.emit("Neg", [tape.emit("Mul", [x, x], like=x)], like=x)
    density = tape.emit("Exp", [power], like=x)
    slope = tape.emit("Mul", [density, tape.number(2 / math.sqrt(math.pi))], like=x)
    tape.add(x, tape.emit("Mul", [gradient, slope], like=x))


def softmax(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """DX = Y (dY - sum_axis dY Y): SoftmaxGrad(dY, Y; axis)."""
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    axis = {"axis": node.attributes.get_int("axis", -1)}
    tape.add(x, tape.emit("SoftmaxGrad", [gradient, y], axis, like=x, domain=TRAIN))


def mask(tape: Tape, node: ir.Node, gradient: ir.Value) -> None:
    """Y = M X with a mask M → dX = M dY: MaskGrad(dY, Y), whose rule finds the mask by Y."""
    x = node.inputs[0]
    assert x is not None
    read = [gradient, node.outputs[0]]
    tape.add(x, tape.emit("MaskGrad", read, like=x, domain=TRAIN))
