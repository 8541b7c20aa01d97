import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from scripts.checks.exported_run import problems

CLASSES = ["dark", "light"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Writes four images of one colour per class."""
    for name, level in zip(CLASSES, (10, 240), strict=True):
        folder = tmp_path / "data" / "val" / name
        folder.mkdir(parents=True)
        for index in range(4):
            pixels = np.full((30, 40 + index, 3), level, np.uint8)
            Image.fromarray(pixels).save(folder / f"{index}.png")
    return tmp_path / "data"


def write_run(
    folder: Path,
    *,
    sign: float = 1,
    classes: list[str] = CLASSES,
    losses: tuple[float, ...] = (2, 1),
) -> Path:
    """Writes a run whose model goes by brightness: logits = (-sign * mean, sign * mean)."""
    folder.mkdir()
    weights = helper.make_tensor("w", TensorProto.FLOAT, [3, 2], [-sign, sign] * 3)
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 224, 224])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 2])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    helper.set_model_props(model, {"classes": json.dumps(classes)})
    onnx.save(model, folder / "model.onnx")
    lines = []
    for epoch, loss in enumerate(losses, 1):
        lines.append({"epoch": epoch, "phase": "train", "loss": loss, "accuracy": 1.0})
        lines.append({"epoch": epoch, "phase": "val", "loss": loss, "accuracy": 1.0})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text, encoding="utf-8")
    return folder


def test_a_good_run_has_no_problems(tmp_path: Path, data: Path) -> None:
    assert problems(write_run(tmp_path / "run"), data, 0.95) == []


def test_a_model_that_is_wrong_is_found(tmp_path: Path, data: Path) -> None:
    found = problems(write_run(tmp_path / "run", sign=-1), data, 0.95)
    assert any("at least 0.95, found 0.0" in problem for problem in found)
    assert any("the run's own accuracy 1.0" in problem for problem in found)


def test_classes_in_another_order_are_found(tmp_path: Path, data: Path) -> None:
    found = problems(write_run(tmp_path / "run", classes=CLASSES[::-1]), data, 0.95)
    assert len(found) == 1
    assert "expected the classes" in found[0]


@pytest.mark.parametrize("losses", [(1.0, 1.0), (1.0,), (1.0, float("nan"))])
def test_a_loss_that_does_not_fall_is_found(
    tmp_path: Path, data: Path, losses: tuple[float, ...]
) -> None:
    found = problems(write_run(tmp_path / "run", losses=losses), data, 0.95)
    assert len(found) == 1
    assert "expected the training loss to fall" in found[0]
