"""Checks a finished run with other software than made it.

Python's ONNX Runtime runs the exported model on the validation images, which torchvision's own
transforms prepare. The program checks three things:

1. The class names stored in the file are right.
2. The validation accuracy is at least ``--accuracy``, and at most two images away from the run's.
3. The training loss fell.

Run it with ``node scripts/python.mjs -m scripts.checks.exported_run --run RUN --data DIR``.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from torchvision import datasets, transforms  # type: ignore[import-untyped]

# torchvision's preprocessing for IMAGENET1K_V1. It is not read from the run, which may be wrong.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """Reads the lines of ``metrics.jsonl``."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def predict(model: Path, folder: Path) -> tuple[NDArray[np.float32], NDArray[np.int64], list[str]]:
    """Returns logits [N, C] and labels [N] of the images in ``folder/CLASS``, and the classes."""
    transform = transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    dataset = datasets.ImageFolder(str(folder), transform)
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    logits = [
        session.run(["logits"], {"input": image.unsqueeze(0).numpy()})[0] for image, _ in dataset
    ]
    labels = np.array([label for _, label in dataset.samples], dtype=np.int64)
    return np.concatenate(logits), labels, list(dataset.classes)


def problems(run: Path, data: Path, accuracy: float) -> list[str]:
    """Returns one sentence for each problem of the run in the folder ``run``."""
    found: list[str] = []
    metrics = read_metrics(run)
    losses = [line["loss"] for line in metrics if line["phase"] == "train"]
    if len(losses) < 2 or not losses[-1] < losses[0]:
        found.append(f"expected the training loss to fall, found {losses}")
    best = max(line["accuracy"] for line in metrics if line["phase"] == "val")
    logits, labels, classes = predict(run / "model.onnx", data / "val")
    reached = float((logits.argmax(1) == labels).mean())
    print(f"validation accuracy: {reached:.4f} by Python, {best:.4f} in the run")
    if reached < accuracy:
        found.append(f"expected an accuracy of at least {accuracy}, found {reached}")
    if abs(reached - best) * len(labels) > 2.5:
        found.append(f"expected about the run's own accuracy {best}, found {reached}")
    session = onnxruntime.InferenceSession(str(run / "model.onnx"))
    stored = session.get_modelmeta().custom_metadata_map.get("classes", "null")
    if json.loads(stored) != classes:
        found.append(f"expected the classes {classes} in the file, found {stored}")
    return found


def main() -> int:
    """Runs the command: prints the problems; returns 1 if there are any."""
    parser = argparse.ArgumentParser(description="Check a finished run with other software.")
    parser.add_argument("--run", type=Path, required=True, help="run folder with model.onnx")
    parser.add_argument("--data", type=Path, required=True, help="the data set it was trained on")
    parser.add_argument("--accuracy", type=float, default=0.95, help="least validation accuracy")
    arguments = parser.parse_args()
    found = problems(arguments.run, arguments.data, arguments.accuracy)
    for problem in found:
        print(problem)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
