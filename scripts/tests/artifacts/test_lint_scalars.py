"""Checks that no committed graph broadcasts a scalar slowly, and tests the lint."""

from __future__ import annotations

import onnx
import onnx_ir as ir
import pytest

from scripts.artifacts.graph_builder import GraphBuilder, standard_model, typed_value
from scripts.artifacts.lint_scalars import slow_scalars
from scripts.artifacts.stored import load_graph, read_manifest
from scripts.project import COMMITTED

FLOAT = ir.DataType.FLOAT


@pytest.mark.parametrize("arch", list(COMMITTED))
def test_no_committed_graph_broadcasts_a_scalar_slowly(arch: str) -> None:
    folder = COMMITTED[arch]
    for key in read_manifest(folder)["graphs"]:
        assert slow_scalars(load_graph(folder, key)) == [], key


def product(shape: list[int | str], *, beside: bool, number: list[int]) -> onnx.ModelProto:
    """Returns the graph of W [shape] times a number."""
    weight, factor = typed_value("W", FLOAT, shape), typed_value("f", FLOAT, number)
    op = GraphBuilder()
    op.scope = "update"
    result = op.Mul(weight, op.beside(factor, weight) if beside else factor)
    result.type = ir.TensorType(FLOAT)
    return ir.to_proto(standard_model("test", [weight, factor], [result], op.nodes, op.constants))


@pytest.mark.parametrize("number", [[], [1]])
def test_a_number_of_lower_rank_beside_a_1x1_kernel_is_noticed(number: list[int]) -> None:
    (line,) = slow_scalars(product([320, 160, 1, 1], beside=False, number=number))
    assert line.startswith(
        "Mul (update/Mul_0): expected a number of rank 4 beside W [320, 160, 1, 1]"
    )


@pytest.mark.parametrize(
    ("shape", "beside"),
    [
        ([320, 160, 1, 1], True),
        ([320, 160, 3, 3], False),
        ([51200], False),
        (["C", 1280, 1, 1], False),
    ],
)
def test_other_products_pass(shape: list[int | str], beside: bool) -> None:
    """Includes a tensor of few elements: the number of classes is not known."""
    assert slow_scalars(product(shape, beside=beside, number=[])) == []
