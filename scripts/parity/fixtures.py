"""Writes test/fixtures/parity, with which ``npm test`` checks the rows without Python."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from statistics import median
from typing import Any

import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision.datasets import ImageFolder  # type: ignore[import-untyped]

from scripts.parity import providers, trajectories
from scripts.parity.bridge import Bridge
from scripts.parity.one_step import CASES, LR, Summary, step_errors
from scripts.parity.pixels import cropped, evaluated, photograph
from scripts.project import COMMITTED, ROOT, SAMPLES
from scripts.reference.philox import manifest, random_images, random_state
from scripts.reference.projections import project_all
from scripts.reference.torch_training import (
    Batch,
    Tensors,
    Trained,
    evaluate,
    flat,
    make_model,
    relative_error,
    train,
)

FOLDER = ROOT / "test/fixtures/parity"
STRIDE = 4
"""Distance of the pixel rows and columns of a reference that are kept."""
CROP_SEED, CROP_EPOCH = 5, 2
RESNET_SEEDS = range(6)
TINY_CASES = [
    (classes, batch, decay)
    for classes in (2, 3, 10)
    for batch in (1, 3, 4, 16)
    for decay in (0.0, 0.01)
]

PHOTOGRAPHS: dict[str, tuple[str, tuple[int, int, int, int] | None, str | None, dict[str, int]]] = {
    # File: photograph, part to cut out, colour mode, Pillow's options. Most are made at half size.
    "astronaut.jpg": ("astronaut.png", None, None, {"quality": 88}),
    "astronaut-rgba.png": ("astronaut.png", (120, 0, 320, 230), "RGBA", {}),
    "brick.jpg": ("brick.png", None, "L", {"quality": 85}),
    "camera.jpg": ("camera.png", None, "L", {"quality": 88}),
    "chelsea.jpg": ("chelsea.png", (0, 0, 451, 299), None, {"quality": 90, "subsampling": 0}),
    "coffee.jpg": ("coffee.png", None, None, {"quality": 88, "progressive": 1}),
    "coffee-wide.png": ("coffee.png", (0, 150, 600, 225), None, {}),
    "coins.png": ("coins.png", (20, 20, 221, 181), "L", {}),
    "grass.png": ("grass.png", (0, 0, 301, 203), "L", {}),
    "gravel.jpg": ("gravel.png", (0, 0, 510, 333), "L", {"quality": 88}),
    "hubble.jpg": ("hubble_deep_field.jpg", (0, 0, 633, 721), None, {"quality": 85}),
    "ihc.jpg": ("ihc.png", None, None, {"quality": 88, "subsampling": 1}),
    "retina.jpg": ("retina.jpg", (300, 300, 1001, 903), None, {"quality": 85}),
    "rocket-tall.jpg": ("rocket.jpg", (280, 0, 333, 427), None, {"quality": 92}),
    "rocket.jpg": ("rocket.jpg", None, None, {"quality": 85}),
}
"""Public-domain and CC0 photographs of scikit-image; see README.md in the folder."""


def write(bridge: Bridge) -> None:
    """Writes all files of the folder anew."""
    shutil.rmtree(FOLDER / "photographs", ignore_errors=True)
    (FOLDER / "photographs").mkdir(parents=True)
    _write_json("pixels.json", _pixels(bridge))
    _write_json("steps.json", {"lr": LR, "tiny": _tiny_steps(), "resnet18": _resnet_steps(bridge)})
    _write_json("trajectories.json", _trajectories(bridge))
    _write_json("evaluation.json", _evaluation(bridge))


def _write_json(name: str, content: object) -> None:
    (FOLDER / name).write_text(json.dumps(content, separators=(",", ":")) + "\n")


def _write_photographs() -> list[Path]:
    for name, (source, box, mode, options) in PHOTOGRAPHS.items():
        image = photograph(source)
        if box is not None:
            image = image.crop(box)
        image = image.convert(mode or "RGB")
        if name not in ("coffee-wide.png", "rocket-tall.jpg", "astronaut-rgba.png"):
            image = image.resize(
                ((image.width + 1) // 2, (image.height + 1) // 2), Image.Resampling.LANCZOS
            )
        if mode == "RGBA":
            image.putalpha(image.getchannel("G"))
        image.save(FOLDER / "photographs" / name, **options)  # type: ignore[arg-type]
    return [FOLDER / "photographs" / name for name in PHOTOGRAPHS]


def _levels(pixels: torch.Tensor) -> str:
    """Encodes every fourth pixel, before normalisation: levels of 255, base64 of [S/4, S/4, 3]."""
    found = manifest("resnet18")["preprocessing"]
    mean, std = (torch.tensor(found[name]).reshape(3, 1, 1) for name in ("mean", "std"))
    levels = ((pixels * std + mean) * 255).round().to(torch.uint8)[:, ::STRIDE, ::STRIDE]
    return base64.b64encode(levels.permute(1, 2, 0).numpy().tobytes()).decode()


def _pixels(bridge: Bridge) -> dict[str, Any]:
    files = _write_photographs()
    crops = bridge.preprocess(
        COMMITTED["resnet18"], files, "train", seed=CROP_SEED, epoch=CROP_EPOCH
    )
    images = [
        {
            "file": file.name,
            "evaluated": _levels(evaluated(file)),
            "crop": crops[f"crop.{index}"].tolist(),
            "cropped": _levels(cropped(file, crops[f"crop.{index}"])),
        }
        for index, file in enumerate(files)
    ]
    return {"stride": STRIDE, "seed": CROP_SEED, "epoch": CROP_EPOCH, "images": images}


def _start(arch: str, classes: int, seed: int) -> tuple[Any, Tensors]:
    state = random_state(arch, classes, seed)
    model = make_model(arch, classes, 0)
    model.load_state_dict(state)
    return model, state


def _labels(batch: int, classes: int, seed: int) -> torch.Tensor:
    return (torch.arange(batch) + seed) % classes


def _step(arch: str, case: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """Returns a case with its float64 references, and the error of PyTorch float32's gradient."""
    classes, batch, seed = case["classes"], case["batch"], case["seed"]
    model, state = _start(arch, classes, seed)
    size = manifest(arch)["preprocessing"]["inputSize"]
    data = Batch(random_images(batch, size, seed), _labels(batch, classes, seed))
    decay = case["weightDecay"]
    exact = train(model, [data], [LR], dtype=torch.double, weight_decay=decay)
    single = train(model, [data], [LR], weight_decay=decay)
    names = list(exact.momentum)
    statistics = [name for name in state if ".running_" in name]
    reference = {
        **case,
        "loss": exact.losses[0],
        "gradients": project_all(arch, exact.momentum, names),
        "statistics": project_all(arch, exact.state, statistics),
    }
    return reference, relative_error(flat(single.momentum, names), flat(exact.momentum, names))


def _tiny_steps() -> dict[str, Any]:
    found = [
        _step("tiny", {"seed": seed, "classes": c, "batch": b, "weightDecay": decay})
        for seed, (c, b, decay) in enumerate(TINY_CASES)
    ]
    return {"torchError": median(e for _, e in found), "cases": [case for case, _ in found]}


def _resnet_steps(bridge: Bridge) -> dict[str, Any]:
    cases = []
    for seed in RESNET_SEEDS:
        classes, batch = CASES[seed % len(CASES)]
        case = {"seed": seed, "classes": classes, "batch": batch, "weightDecay": 0.0}
        cases.append(_step("resnet18", case)[0])
    # Take PyTorch's error from the sixteen seeds of row 3: six are too few for a steady median.
    summary = Summary.of(step_errors(bridge, range(16)))
    return {"torchError": summary.torch_gradient, "cases": cases}


def _change(
    arch: str, trained: Trained, start: Tensors, names: list[str]
) -> dict[str, list[float]]:
    changes = {name: trained.state[name].double() - start[name].double() for name in names}
    return project_all(arch, changes, names)


def _trajectories(bridge: Bridge) -> dict[str, Any]:
    """Returns twenty float64 steps of the tiny network, and the distance of PyTorch float32."""
    arch, classes = providers.ARCH, providers.CLASSES
    data = trajectories.write_data(bridge.folder / "trajectory")
    bridge.open(arch, classes)
    cases = []
    for seed in trajectories.SEEDS:
        model, start = _start(arch, classes, seed)
        bridge.set_state(start)
        batches = trajectories.drive(bridge, data, seed).batches
        exact = train(model, batches, trajectories.RATES, dtype=torch.double)
        epoch = train(model, batches[:5], trajectories.RATES[:5], dtype=torch.double)
        statistics = [name for name in start if ".running_" in name]
        cases.append(
            {
                "seed": seed,
                "losses": exact.losses,
                "weights": _change(arch, exact, start, list(exact.momentum)),
                "statistics": _change(arch, exact, start, statistics),
                "firstEpoch": _change(arch, epoch, start, statistics),
            }
        )
    torch_distance = providers.measure(bridge, data, "cpu", trajectories.SEEDS).torch
    return {
        "classes": classes,
        "imagesPerClass": trajectories.IMAGES_PER_CLASS,
        "batch": trajectories.BATCH,
        "epochs": trajectories.EPOCHS,
        "lr": trajectories.LR,
        "gamma": trajectories.GAMMA,
        "torchDistance": torch_distance.__dict__,
        "cases": cases,
    }


def _evaluation(bridge: Bridge) -> dict[str, Any]:
    """Trains the tiny network on the samples with PyTorch; returns its validation logits."""
    model, start = _start("tiny", 2, 0)
    bridge.open("tiny", 2)
    bridge.set_state(start)
    found = bridge.epochs(SAMPLES / "train", 8, batch_size=8, seed=0, lr=0.02, step_size=6)
    batches = [Batch(found[f"images.{i}"], found[f"labels.{i}"]) for i in range(8 * 12)]
    trained = train(model, batches, [0.02] * 72 + [0.002] * 24)
    save_file(trained.state, FOLDER / "tiny.safetensors", metadata={"made by": "PyTorch"})
    model.load_state_dict(trained.state)
    samples = ImageFolder(str(SAMPLES / "val")).samples
    files = [Path(path) for path, _ in samples]
    labels = torch.tensor([label for _, label in samples])
    pixels = bridge.preprocess(COMMITTED["tiny"], files)
    images = torch.stack([pixels[f"pixels.{index}"] for index in range(len(files))])
    from_pillow = evaluate(
        model, torch.stack([evaluated(file, COMMITTED["tiny"]) for file in files])
    )
    return {
        "logits": evaluate(model, images).tolist(),
        "torchvisionTop": from_pillow.argmax(1).tolist(),
        "torchvisionAccuracy": float((from_pillow.argmax(1) == labels).float().mean()),
    }
