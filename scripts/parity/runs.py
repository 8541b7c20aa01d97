"""Rows 5, 6 and 7: a run of the command line, checked with torchvision and other runtimes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnxruntime
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision.datasets import ImageFolder  # type: ignore[import-untyped]

from scripts.artifacts.architectures import ARCHITECTURES
from scripts.parity.bridge import Bridge
from scripts.parity.pixels import evaluated
from scripts.parity.rows import Context, Row, at_most
from scripts.project import COMMITTED, ROOT, SAMPLES
from scripts.reference.torch_training import Tensors, evaluate

EPOCHS = 2
ARCH = "resnet18"


def command_line(*words: str) -> None:
    """Runs the project's own command line.

    Raises:
        CalledProcessError: the command failed.
    """
    cli = ROOT / "dist/src/cli.js"
    subprocess.run(["node", str(cli), *words], check=True, capture_output=True, text=True)


def train_and_export(data: Path, run: Path, epochs: int, *more: str) -> None:
    """Trains from random weights on the CPU; exports the last checkpoint to ``model.onnx``."""
    settings = ["--weights", "random", "--epochs", str(epochs), "--device", "cpu", *more]
    command_line("train", "--data", str(data), "--out", str(run), *settings)
    command_line("export-inference", "--run", str(run), "--checkpoint", "last")


def checkpoint_weights(run: Path) -> Tensors:
    """Reads the last checkpoint without ``momentum.*``."""
    tensors = load_file(run / "checkpoints/last.safetensors")
    return {name: t for name, t in tensors.items() if not name.startswith("momentum.")}


def torchvision_model(weights: Tensors) -> nn.Module:
    """Loads a checkpoint into torchvision's network by ``load_state_dict(strict=True)``."""
    model = ARCHITECTURES[ARCH].build(weights["fc.bias"].numel())
    model.load_state_dict(weights, strict=True)
    return model


def recorded_accuracy(run: Path) -> float:
    """Reads the validation accuracy of the last epoch from the run's metrics."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    records = [record for line in lines if (record := json.loads(line))["phase"] == "val"]
    return float(records[-1]["accuracy"])


def loader_pixels(bridge: Bridge, files: Sequence[Path]) -> torch.Tensor:
    """Returns images [N, 3, S, S] as this project's loader makes them."""
    found = bridge.preprocess(COMMITTED[ARCH], files)
    return torch.stack([found[f"pixels.{index}"] for index in range(len(files))])


def weight_files_differ(bridge: Bridge, model: nn.Module, folder: Path) -> list[str]:
    """Returns the tensors that this project reads with other bits from files of PyTorch.

    The head is left out, because training always starts with a new head.
    """
    expected = {n: t for n, t in model.state_dict().items() if not n.startswith("fc.")}
    files = [folder / "weights.pth", folder / "weights.safetensors"]
    torch.save(model.state_dict(), files[0])
    save_file(model.state_dict(), files[1])
    differ = []
    for file in files:
        found = bridge.initial_state(ARCH, str(file), 2)
        differ += [f"{file.name}: {n}" for n, t in expected.items() if not torch.equal(found[n], t)]
    return differ


def same_top(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Tells if the largest logit of every row is in the same place."""
    return torch.equal(found.argmax(1), expected.argmax(1))


def python_logits(model: Path, images: torch.Tensor) -> torch.Tensor:
    """Returns logits of an exported model, run by Python's onnxruntime."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"input": images.numpy()})
    return torch.tensor(logits)


def rows(context: Context) -> Iterator[Row]:
    """Measures row 5's evaluation, and rows 6 and 7."""
    bridge, run = context.bridge, context.folder / "run"
    train_and_export(SAMPLES, run, EPOCHS)
    weights = checkpoint_weights(run)
    model = torchvision_model(weights)
    validation = ImageFolder(str(SAMPLES / "val")).samples
    files, labels = [Path(path) for path, _ in validation], [label for _, label in validation]
    images = loader_pixels(bridge, files)
    expected = evaluate(model, images)
    count = f"{len(files)} validation images, ResNet-18 after {EPOCHS} epochs"

    found = bridge.evaluate(ARCH, weights, images)
    apart = float((found - expected).abs().max())
    yield at_most("5", f"evaluation logits, {count}", apart, 1e-4)
    from_pillow = evaluate(model, torch.stack([evaluated(file) for file in files]))
    right = int((from_pillow.argmax(1) == torch.tensor(labels)).sum())
    recorded = recorded_accuracy(run) * len(labels)
    yield Row(
        "5",
        f"accuracy the run recorded, against torchvision's transforms on Pillow: {count}",
        "identical",
        f"{recorded:g} and {right} of {len(labels)}",
        recorded == right and same_top(from_pillow, found),
    )

    apart = float((from_pillow - found).abs().max())
    what = "run's checkpoint in torchvision, load_state_dict(strict=True): logits, same pixels"
    yield at_most("6", what, float((found - expected).abs().max()), 1e-4)
    context.notes.append(
        f"Rows 5 and 6: with each side's own pixels the logits differ by at most {apart:.2g}."
    )
    differ = weight_files_differ(bridge, model, context.folder)
    yield Row(
        "6",
        "a .pth of torch.save and a .safetensors, read by this project, outside the head",
        "bit for bit",
        "equal" if not differ else ", ".join(differ),
        not differ,
    )

    exported = run / "model.onnx"
    yield _logits_row(
        f"exported model in Python's onnxruntime {onnxruntime.__version__}: logits, {count}",
        python_logits(exported, images),
        expected,
    )
    chromium = bridge.find()["chromium"]
    if chromium is None:
        what = "exported model in Chromium with onnxruntime-web (WASM)"
        yield Row("7", what, "≤ 0.001", "not run: no Chromium here", None)
        return
    found = bridge.browse(chromium, exported, images)
    browser = bridge.answer["userAgent"].split("Chrome/")[-1].split(".")[0]
    runtime = bridge.answer["runtime"]
    what = f"exported model in Chromium {browser} with onnxruntime-web {runtime} (WASM): logits"
    yield _logits_row(f"{what}, {count}", found, expected)


def _logits_row(what: str, found: torch.Tensor, expected: torch.Tensor) -> Row:
    apart = float((found - expected).abs().max())
    same = same_top(found, expected)
    measured = f"{apart:.2g}, top class {'the same' if same else 'another'}"
    return Row("7", what, "≤ 0.001, same top class", measured, same and apart <= 1e-3)
