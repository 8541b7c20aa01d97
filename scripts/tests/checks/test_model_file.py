"""Runs the Python example of docs/model-file.md on a file that the command line exported."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.project import ROOT, compile_typescript


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trains the tiny network on the samples, and exports it to ``model.onnx``."""
    compile_typescript()
    folder = tmp_path_factory.mktemp("model-file")
    settings = ["--weights", "random", "--epochs", "1", "--lr", "0.02", "--device", "cpu"]
    tiny = ["--artifacts", str(ROOT / "test/fixtures/tiny")]
    data = ["--data", str(ROOT / "samples/textures")]
    _call(folder, "train", *data, *tiny, *settings, "--out", "run", "--quiet")
    _call(folder, "export-inference", "--run", "run", "--raw-images", "--probabilities")
    return folder / "run"


def _call(folder: Path, *words: str) -> str:
    command = ["node", str(ROOT / "dist/src/cli.js"), *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def test_the_example_gives_predicts_answer(run: Path, tmp_path: Path) -> None:
    text = (ROOT / "docs/model-file.md").read_text()
    block = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert block is not None
    script = tmp_path / "example.py"
    script.write_text(block[1])
    for image in sorted((ROOT / "samples/textures/val").glob("*/*-0[05].jpg")):
        command = [sys.executable, str(script), str(run / "model.onnx"), str(image)]
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        answer = json.loads(_call(run.parent, "predict", "--run", "run", "--json", str(image)))
        expected = {one["name"]: one["probability"] for one in answer["classes"]}
        lines = [line.rsplit(" ", 1) for line in found.splitlines()]
        assert [name for name, _ in lines] == list(expected)
        for name, probability in lines:
            assert float(probability) == pytest.approx(expected[name], abs=2e-4)
