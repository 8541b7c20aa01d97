"""Folding: what depends on constants and on fixed dimensions alone is computed once.

Rule 1 (constants): a node whose inputs are constants → its outputs are constants.
Rule 2 (shapes): a node whose inputs are integers made from shapes, c N or fixed → integers too;
    where N is not in them, a constant.
Rule 3 (reshape): a Reshape whose target is known but for one multiple of N → -1 in its place.
Rule 4 (run-time shapes): a shape with N in it that a node other than Reshape reads → N is read from
    the images, once, and the vector is put together from it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import sympy
from onnx.reference import ReferenceEvaluator
from onnx_ir.passes.common import RemoveUnusedNodesPass

from scripts.artifacts.forward.draft import LIMIT, Array, Draft
from scripts.artifacts.forward.folding.integers import BATCH, Integers, dimension, symbolic_shape
from scripts.artifacts.forward.folding.shape_inference import complete_shape, infer_shapes
from scripts.artifacts.graph_builder import IR_VERSION, OPSET

RANDOM = {"RandomUniformLike", "RandomUniform", "RandomNormalLike", "RandomNormal", "Bernoulli"}
IMAGES = "images/N"
"""Name of the node that reads the number of images."""

ROUNDS = 100
"""Largest number of rounds: each one infers shapes that the next one folds."""


def fold(draft: Draft) -> None:
    """Applies the rules until nothing changes any more."""
    for _ in range(ROUNDS):
        infer_shapes(draft)
        changed = _sweep(draft)
        RemoveUnusedNodesPass()(draft.model)
        if not changed:
            return


def _sweep(draft: Draft) -> bool:
    """Applies the rules to each node in order; returns whether something changed."""
    integers = Integers(draft)
    changed = False
    for node in list(draft.graph):
        if not any(output.uses() for output in node.outputs):
            continue
        if _constant(draft, node) or (
            node.op_type == "Reshape" and node.domain == "" and _reshape(draft, integers, node)
        ):
            changed = True
        elif integers.computes(node):
            integers.visit(node)
            found = integers.fixed(node.outputs[0])
            if found is not None:
                _become(draft, node.outputs[0], found)
                changed = True
        elif node.op_type != "Reshape":
            changed = _read_from_images(draft, integers, node) or changed
            changed = complete_shape(draft, integers, node) or changed
    return changed


def _constant(draft: Draft, node: ir.Node) -> bool:
    """Applies rule 1."""
    inputs = [draft.constant(value) for value in node.inputs if value is not None]
    arrays = [array for array in inputs if array is not None]
    if node.domain != "" or node.op_type in {*RANDOM, "Dropout"} or len(arrays) != len(inputs):
        return False
    returned = any(output.is_graph_output() for output in node.outputs)
    if returned or sum(array.size for array in arrays) > LIMIT:
        return False
    for output, array in zip(node.outputs, _evaluate(node, arrays), strict=False):
        _become(draft, output, array)
    return True


def _evaluate(node: ir.Node, arrays: list[Array]) -> list[Array]:
    """Computes one node with ONNX's reference evaluator."""
    names = [value.name or "" for value in node.inputs if value is not None]
    feeds = dict(zip(names, arrays, strict=True))
    inputs = [
        onnx.helper.make_tensor_value_info(
            name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        for name, array in feeds.items()
    ]
    outputs = [onnx.helper.make_tensor_value_info(o.name, 0, None) for o in node.outputs if o.name]
    graph = onnx.helper.make_graph([ir.to_proto(node)], "constant", inputs, outputs)
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    return [np.asarray(array) for array in ReferenceEvaluator(model).run(None, feeds)]


def _become(draft: Draft, value: ir.Value, array: Array) -> None:
    """Turns a computed value into a constant of the same name."""
    name = value.name or ""
    value.name = f"{name}.computed"
    constant = draft.add_constant(name, array)
    ir.convenience.replace_all_uses_with(value, constant)


def _reshape(draft: Draft, integers: Integers, node: ir.Node) -> bool:
    """Rule 3; gives the output its shape, in multiples of N."""
    if node.op_type != "Reshape" or node.domain != "":
        return False
    data, target = node.inputs[:2]
    found = None if target is None else integers.known(target)
    if data is None or target is None or found is None:
        return False
    source = symbolic_shape(data)
    dims = [*found.reshape(-1)]
    if not node.attributes.get_int("allowzero", 0) and source is not None:
        dims = [source[k] if d == 0 else d for k, d in enumerate(dims)]
    if -1 in dims and source is not None:
        rest = sympy.prod([d for d in dims if d != -1])
        dims[dims.index(-1)] = sympy.cancel(sympy.prod(source) / rest)
    if -1 in dims:
        return False  # the next round knows the shape of the data
    node.outputs[0].shape = ir.Shape([dimension(d) for d in dims])
    if draft.constant(target) is not None or sum(1 for d in dims if not _is_number(d)) > 1:
        return False
    static = [int(d) if _is_number(d) else -1 for d in dims]
    shape = draft.add_constant(f"{node.outputs[0].name}_shape", np.array(static, np.int64))
    node.replace_input_with(1, shape)
    return True


def _is_number(dim: object) -> bool:
    return not isinstance(dim, sympy.Expr) or bool(dim.is_Integer)


def _read_from_images(draft: Draft, integers: Integers, node: ir.Node) -> bool:
    """Applies rule 4 to each input of a node."""
    changed = False
    for position, value in enumerate(node.inputs):
        found = None if value is None else integers.known(value)
        name = f"{node.name}_shape_{position}"
        if value is None or found is None or value.name == f"{name}_output":
            continue
        if all(_is_number(dim) for dim in found.reshape(-1)):
            continue
        parts = [
            _dimension(draft, node, f"{name}_{place}", dim)
            for place, dim in enumerate(found.reshape(-1))
        ]
        node.replace_input_with(
            position, draft.insert(node, "Concat", parts, {"axis": 0}, name=name)
        )
        changed = True
    return changed


def _dimension(draft: Draft, before: ir.Node, name: str, dim: Any) -> ir.Value:
    """Returns a vector of one integer: a constant, or a multiple of the number of images."""
    if _is_number(dim):
        return draft.add_constant(name, np.array([int(dim)], np.int64))
    graph = draft.graph
    count = next((n.outputs[0] for n in graph if n.name == IMAGES), None)
    if count is None:
        start, first = {"start": 0, "end": 1}, next(iter(graph))
        count = draft.insert(first, "Shape", [graph.inputs[0]], start, name=IMAGES)
    factor = sympy.cancel(dim / BATCH)
    if factor == 1:
        return count
    times = draft.add_constant(name, np.array([int(factor)], np.int64))
    return draft.insert(before, "Mul", [count, times], name=f"{name}_Mul")
