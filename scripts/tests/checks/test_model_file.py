"""Runs the Python examples of docs/model-file.md.

On a file that the command line exported, the program must give the answer of ``predict``. On images
of every kind, it must give the model the pixels that training sees. The function that preprocesses
must give the pixels of the evaluation graph.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from PIL import Image

from scripts.artifacts.graphs.preprocessing import (
    RESIZE_MODE,
    Interpolation,
    Transforms,
    build_preprocess_evaluate,
)
from scripts.fixtures.orientation import FILE as ORIENTATIONS
from scripts.fixtures.sources import photograph
from scripts.project import ROOT, compile_typescript

DECODED = ROOT / "test/fixtures/pixels/decode"
# Prints the pixels of the files that follow, as training sees them.
DECODE = """
const { decodeImage } = await import(process.argv[1]);
const found = {};
for (const file of process.argv.slice(3)) {
  const { data, width, height } = await decodeImage(file, file, process.argv[2]);
  found[file] = { width, height, rgb: Buffer.from(data).toString("base64") };
}
console.log(JSON.stringify(found));
"""
# Two AVIF decoders differ at colour edges; the document says so.
AVIF_LEVELS = 12


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


def _examples() -> tuple[str, str]:
    """Returns the function that preprocesses and the program that classifies."""
    text = (ROOT / "docs/model-file.md").read_text()
    function, program = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return function, program


def _example() -> str:
    return _examples()[1]


def test_the_example_gives_predicts_answer(run: Path, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(_example())
    for image in sorted((ROOT / "samples/textures/val").glob("*/*-0[05].jpg")):
        command = [sys.executable, str(script), str(run / "model.onnx"), str(image)]
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        answer = json.loads(_call(run.parent, "predict", "--run", "run", "--json", str(image)))
        expected = {one["name"]: one["probability"] for one in answer["classes"]}
        lines = [line.rsplit(" ", 1) for line in found.splitlines()]
        assert [name for name, _ in lines] == list(expected)
        for name, probability in lines:
            assert float(probability) == pytest.approx(expected[name], abs=2e-4)


class _Recorder(ModuleType):
    """Stands for onnxruntime: keeps the image that the example gives to the model."""

    def __init__(self, exif: str | None) -> None:
        super().__init__("onnxruntime")
        self.custom_metadata_map = {"classes": '["a", "b"]'}
        if exif is not None:
            self.custom_metadata_map["exif"] = exif
        self.image: NDArray[np.uint8] | None = None

    def InferenceSession(self, _: str) -> _Recorder:  # noqa: N802
        return self

    def get_modelmeta(self) -> _Recorder:
        return self

    def run(self, _: None, feeds: dict[str, NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        self.image = feeds["image"]
        return [np.zeros((1, 2), np.float32)]


def _seen(file: Path, exif: str | None, monkeypatch: pytest.MonkeyPatch) -> NDArray[np.uint8]:
    recorder = _Recorder(exif)
    monkeypatch.setitem(sys.modules, "onnxruntime", recorder)
    monkeypatch.setattr(sys, "argv", ["example.py", "model.onnx", str(file)])
    exec(compile(_example(), "example.py", "exec"), {})
    assert recorder.image is not None
    return recorder.image


def _trained(files: list[Path], exif: str) -> dict[str, Any]:
    library = (ROOT / "dist/src/internal.js").as_uri()
    command = ["node", "--input-type=module", "-e", DECODE, library, exif, *map(str, files)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, Any] = json.loads(output)
    return found


@pytest.mark.parametrize("exif", [None, "ignore", "apply"])
def test_the_example_sees_trainings_pixels(
    exif: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Takes files with profiles, CMYK, alpha, palettes, 16 bits and all orientations."""
    compile_typescript()
    files = sorted(DECODED.iterdir())
    for name, entry in json.loads(ORIENTATIONS.read_text()).items():
        files.append(tmp_path / name)
        files[-1].write_bytes(base64.b64decode(entry["file"]))
    expected = _trained(files, exif or "ignore")
    assert len(expected) > 80
    for file in files:
        found = _seen(file, exif, monkeypatch).astype(int)
        pixels = expected[str(file)]
        assert found.shape == (pixels["height"], pixels["width"], 3), file.name
        levels = np.frombuffer(base64.b64decode(pixels["rgb"]), np.uint8).reshape(found.shape)
        bound = AVIF_LEVELS if file.name.startswith("avif") else 0
        assert int(np.abs(found - levels).max()) <= bound, file.name


@pytest.mark.parametrize("interpolation", RESIZE_MODE)
def test_the_example_preprocesses_as_the_evaluation_graph(interpolation: Interpolation) -> None:
    found: dict[str, Any] = {}
    exec(compile(_examples()[0], "example.py", "exec"), found)
    transforms = Transforms(224, 248, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], interpolation)
    settings = {
        **{"inputSize": 224, "resizeSize": 248, "interpolation": interpolation},
        **{"mean": transforms.mean, "std": transforms.std},
    }
    session = ort.InferenceSession(build_preprocess_evaluate(transforms).SerializeToString())
    chelsea = photograph("chelsea.png")
    for image in (chelsea, chelsea.transpose(Image.Transpose.ROTATE_90), chelsea.resize((99, 70))):
        pixels = found["preprocess"](image, settings)
        (expected,) = session.run(None, {"image": np.asarray(image)})
        assert (pixels.dtype, pixels.shape) == (np.float32, (1, 3, 224, 224))
        apart = np.abs(pixels[0] - expected) * np.array(transforms.std).reshape(3, 1, 1) * 255
        assert apart.max() <= 2.001
        assert apart.mean() <= 0.05
