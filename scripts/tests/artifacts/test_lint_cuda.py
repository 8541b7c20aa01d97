"""Checks that the CUDA graphs hold only operators of the CUDA provider, and tests the lint."""

from __future__ import annotations

import re

import onnx
import pytest
from onnx import TensorProto, helper

from scripts.artifacts.lint_cuda import KERNELS, problems
from scripts.artifacts.stored import load_graph, read_manifest
from scripts.project import COMMITTED

ON_GPUS = [
    arch for arch, folder in COMMITTED.items() if "trainCuda" in read_manifest(folder)["graphs"]
]
"""Networks that have graphs for GPUs."""


@pytest.mark.parametrize("arch", ON_GPUS)
@pytest.mark.parametrize("graph", ["trainCuda", "inference"])
def test_nothing_leaves_the_gpu(arch: str, graph: str) -> None:
    """Checks the training graphs, and the exported model, which validates every epoch."""
    assert problems(load_graph(COMMITTED[arch], graph)) == []


@pytest.mark.parametrize("arch", ON_GPUS)
def test_a_frozen_backbones_steps_stay_on_the_gpu(arch: str) -> None:
    """Checks trainHead, which CUDA shares with the CPU; it reads N and K outside of its loop."""
    model = load_graph(COMMITTED[arch], "trainHead")
    (found,) = problems(model)
    assert re.match(r"Reshape .*expected a constant for Concat_\d+, which", found)


def test_each_kernel_of_the_table_is_needed() -> None:
    """Checks that the table lists no operator that no graph has."""
    found = set()
    for arch in ON_GPUS:
        for graph in ("trainCuda", "trainHead", "inference"):
            model = load_graph(COMMITTED[arch], graph)
            graphs = [model.graph]
            while graphs:
                for node in graphs.pop().node:
                    found.add(node.op_type)
                    graphs += [a.g for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
    assert found == set(KERNELS)


def model_of(
    nodes: list[onnx.NodeProto], *, opset: int = 17, element: int = TensorProto.FLOAT
) -> onnx.ModelProto:
    """Returns a graph of the given nodes and operator set, from X [N, 3] to Y."""
    x = helper.make_tensor_value_info("X", element, ["N", 3])
    y = helper.make_value_info("Y", helper.make_tensor_type_proto(element, None))
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    graph = helper.make_graph(nodes, "test", [x], [y], [axes])
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=imports)


def test_a_graph_of_known_operators_has_no_problems() -> None:
    assert problems(model_of([helper.make_node("ReduceSum", ["X", "axes"], ["Y"])])) == []


@pytest.mark.parametrize(
    ("nodes", "options", "message"),
    [
        (
            [helper.make_node("Sign", ["X"], ["Y"], name="sign")],
            {},
            r"Sign \(sign\): expected an operator with a CUDA kernel, found none in the table",
        ),
        (
            [
                helper.make_node("Shape", ["X"], ["shape"], name="shape"),
                helper.make_node("Reshape", ["X", "shape"], ["Y"], name="reshape"),
            ],
            {},
            r"Reshape \(reshape\): expected a constant for shape, which the kernel reads on",
        ),
        (
            [helper.make_node("Relu", ["X"], ["Y"], name="relu")],
            {"opset": 13},
            r"Relu \(relu\): expected a kernel for opset 13, found 14 to None",
        ),
        (
            [helper.make_node("Exp", ["X"], ["Y"], name="exp")],
            {"element": TensorProto.DOUBLE},
            r"Exp \(exp\): expected \['float'\] for X, got double",
        ),
        (
            [helper.make_node("Gemm", ["X", "X"], ["Y"], name="gemm", domain="com.microsoft")],
            {},
            r"Gemm \(gemm\): expected an operator with a CUDA kernel",
        ),
    ],
)
def test_what_would_leave_the_gpu_is_noticed(
    nodes: list[onnx.NodeProto], options: dict[str, int], message: str
) -> None:
    assert any(re.match(message, line) for line in problems(model_of(nodes, **options)))
