"""Checks the number of nodes per step that docs/results/performance.md states."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from scripts.artifacts.count_gpu_nodes import step_nodes, table
from scripts.project import RESULTS


def test_the_document_states_the_graphs_as_they_are() -> None:
    text = (RESULTS / "performance.md").read_text()
    assert f"\n{table()}\n" in text, f"docs/results/performance.md should have:\n{table()}"


def test_more_than_the_loop_outside_it_is_refused() -> None:
    value = helper.make_tensor_value_info("X", TensorProto.FLOAT, ["K", 3])
    step = helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])
    body = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "body", [step], [result])
    scan = helper.make_node("Scan", ["X"], ["Y"], body=body, num_scan_inputs=1)
    output = helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["K", 3])

    def of(*nodes: onnx.NodeProto) -> onnx.ModelProto:
        return helper.make_model(helper.make_graph(nodes, "test", [value], [output]))

    assert step_nodes(of(scan)) == {"Relu": 1}
    assert step_nodes(of(helper.make_node("Exp", ["X"], ["Y"]))) == {"Exp": 1}
    with pytest.raises(ValueError, match="one Scan of it, got 2 nodes"):
        step_nodes(of(scan, helper.make_node("Relu", ["X"], ["Z"])))
