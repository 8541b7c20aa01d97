"""Rows 5, 6 and 7: a run of the command line, checked with torchvision and other runtimes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnxruntime
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision.datasets import ImageFolder  # type: ignore[import-untyped]

from scripts.parity.bridge import Bridge
from scripts.parity.pixels import evaluated
from scripts.parity.rows import Context, Row, at_most
from scripts.project import COMMITTED, ROOT, SAMPLES
from scripts.reference.philox import head, manifest
from scripts.reference.torch_training import Tensors, evaluate, make_model

EPOCHS = 2


def command_line(*words: str) -> None:
    """Runs the project's own command line.

    Raises:
        CalledProcessError: the command failed.
    """
    cli = ROOT / "dist/src/cli.js"
    subprocess.run(["node", str(cli), *words], check=True, capture_output=True, text=True)


def train_and_export(arch: str, data: Path, run: Path, epochs: int, *more: str) -> None:
    """Trains from random weights on the CPU; exports the last checkpoint to ``model.onnx``."""
    settings = ["--arch", arch, "--weights", "random", "--epochs", str(epochs), "--device", "cpu"]
    settings += more
    command_line("train", "--data", str(data), "--out", str(run), *settings)
    command_line("export-inference", "--run", str(run), "--checkpoint", "last")


def checkpoint_weights(run: Path) -> Tensors:
    """Reads the last checkpoint without ``momentum.*``."""
    tensors = load_file(run / "checkpoints/last.safetensors")
    return {name: t for name, t in tensors.items() if not name.startswith("momentum.")}


def published_model(arch: str, weights: Tensors) -> nn.Module:
    """Loads a checkpoint into the publisher's network by ``load_state_dict(strict=True)``."""
    classes = weights[head(arch)[0]].shape[0]
    model = make_model(arch, classes, 0)
    model.load_state_dict(weights, strict=True)
    return model


def recorded_accuracy(run: Path) -> float:
    """Reads the validation accuracy of the last epoch from the run's metrics."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    records = [record for line in lines if (record := json.loads(line))["phase"] == "val"]
    return float(records[-1]["accuracy"])


def loader_pixels(bridge: Bridge, arch: str, files: Sequence[Path]) -> torch.Tensor:
    """Returns images [N, 3, S, S] as this project's loader makes them."""
    found = bridge.preprocess(COMMITTED[arch], files)
    return torch.stack([found[f"pixels.{index}"] for index in range(len(files))])


def weight_files_differ(bridge: Bridge, arch: str, model: nn.Module, folder: Path) -> list[str]:
    """Returns the tensors that this project reads with other bits from files of PyTorch.

    The head is left out, because training always starts with a new head.
    """
    expected = {n: t for n, t in model.state_dict().items() if n not in head(arch)}
    files = [folder / "weights.pth", folder / "weights.safetensors"]
    torch.save(model.state_dict(), files[0])
    save_file(model.state_dict(), files[1])
    differ = []
    for file in files:
        found = bridge.initial_state(arch, str(file), 2)
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


@dataclass(frozen=True)
class Trial:
    """A trained network, and what PyTorch computes from its checkpoint.

    Attributes:
        what: remark on the images and the training, for the lines.
        model: the publisher's module with the weights of the checkpoint.
        images: validation images [N, 3, S, S] as the loader makes them.
        expected: logits [N, C] of the module.
    """

    arch: str
    run: Path
    what: str
    weights: Tensors
    model: nn.Module
    files: Sequence[Path]
    labels: torch.Tensor
    images: torch.Tensor
    expected: torch.Tensor


def try_network(context: Context, arch: str) -> Trial:
    """Trains a network on the samples with the command line, and evaluates it with PyTorch."""
    run = context.folder / f"run-{arch}"
    train_and_export(arch, SAMPLES, run, EPOCHS)
    weights = checkpoint_weights(run)
    model = published_model(arch, weights)
    validation = ImageFolder(str(SAMPLES / "val")).samples
    files = [Path(path) for path, _ in validation]
    images = loader_pixels(context.bridge, arch, files)
    return Trial(
        arch=arch,
        run=run,
        what=f"{len(files)} validation images, {arch} after {EPOCHS} epochs",
        weights=weights,
        model=model,
        files=files,
        labels=torch.tensor([label for _, label in validation]),
        images=images,
        expected=evaluate(model, images),
    )


def rows(context: Context) -> Iterator[Row]:
    """Measures row 5's evaluation, and rows 6 and 7, of all networks."""
    for arch in context.networks:
        trial = try_network(context, arch)
        yield from _evaluation(context, trial)
        yield from _weights(context, trial)
        yield from _exported(context.bridge, trial)


def _evaluation(context: Context, trial: Trial) -> Iterator[Row]:
    found = context.bridge.evaluate(trial.arch, trial.weights, trial.images)
    apart = float((found - trial.expected).abs().max())
    yield at_most("5", f"evaluation logits, {trial.what}", apart, 1e-4)
    pixels = torch.stack([evaluated(file, COMMITTED[trial.arch]) for file in trial.files])
    from_pillow = evaluate(trial.model, pixels)
    right = int((from_pillow.argmax(1) == trial.labels).sum())
    recorded = recorded_accuracy(trial.run) * len(trial.labels)
    yield Row(
        "5",
        f"accuracy the run recorded, against torchvision's transforms on Pillow: {trial.what}",
        "identical",
        f"{recorded:g} and {right} of {len(trial.labels)}",
        recorded == right and same_top(from_pillow, found),
    )
    apart = float((from_pillow - found).abs().max())
    context.notes.append(
        f"Rows 5 and 6, {trial.arch}: with each side's own pixels the logits differ by at most "
        f"{apart:.2g}."
    )


def _weights(context: Context, trial: Trial) -> Iterator[Row]:
    found = context.bridge.evaluate(trial.arch, trial.weights, trial.images)
    source = manifest(trial.arch)["provenance"]["network"]
    what = f"run's checkpoint in {source}, load_state_dict(strict=True): logits, same pixels"
    yield at_most("6", what, float((found - trial.expected).abs().max()), 1e-4)
    differ = weight_files_differ(context.bridge, trial.arch, trial.model, context.folder)
    yield Row(
        "6",
        f"a .pth of torch.save and a .safetensors, read by this project, {trial.arch} outside the "
        "head",
        "bit for bit",
        "equal" if not differ else ", ".join(differ),
        not differ,
    )


def _exported(bridge: Bridge, trial: Trial) -> Iterator[Row]:
    exported = trial.run / "model.onnx"
    yield _logits_row(
        f"exported model in Python's onnxruntime {onnxruntime.__version__}: logits, {trial.what}",
        python_logits(exported, trial.images),
        trial.expected,
    )
    chromium = bridge.find()["chromium"]
    if chromium is None:
        what = f"exported model in Chromium with onnxruntime-web (WASM), {trial.arch}"
        yield Row("7", what, "≤ 0.001", "not run: no Chromium here", None)
        return
    found = bridge.browse(chromium, exported, trial.images)
    browser = bridge.answer["userAgent"].split("Chrome/")[-1].split(".")[0]
    runtime = bridge.answer["runtime"]
    what = f"exported model in Chromium {browser} with onnxruntime-web {runtime} (WASM): logits"
    yield _logits_row(f"{what}, {trial.what}", found, trial.expected)


def _logits_row(what: str, found: torch.Tensor, expected: torch.Tensor) -> Row:
    apart = float((found - expected).abs().max())
    same = same_top(found, expected)
    measured = f"{apart:.2g}, top class {'the same' if same else 'another'}"
    return Row("7", what, "≤ 0.001, same top class", measured, same and apart <= 1e-3)
