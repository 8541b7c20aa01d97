"""Python's half of bridge.mjs: the project's compiled driver, called with torch tensors."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file

from scripts.project import COMMITTED, ROOT, compile_typescript
from scripts.reference.torch_training import Tensors

Provider = Literal["cpu", "cuda", "webgpu"]


class BridgeError(Exception):
    """A job that failed in the driver; the message is the driver's, with its stack."""


class Bridge:
    """A process of the compiled driver, for a ``with`` block. It holds at most one session.

    Args:
        environment: variables of the process beside this one's.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        compile_typescript()
        self.answer: dict[str, Any] = {}
        self._folder = tempfile.TemporaryDirectory()
        self.folder = Path(self._folder.name)
        self._input = self.folder / "input.safetensors"
        self._output = self.folder / "output.safetensors"
        self._process = subprocess.Popen(
            ["node", str(Path(__file__).with_name("bridge.mjs"))],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Bridge:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._folder.cleanup()

    def open(
        self,
        arch: str,
        classes: int,
        provider: Provider = "cpu",
        threads: int = 0,
    ) -> None:
        """Opens a training session on the artifacts of ``arch``, in place of the one before."""
        artifacts = str(COMMITTED[arch])
        self._call("open", artifacts=artifacts, classes=classes, provider=provider, threads=threads)

    def set_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Sets parameters, statistics and counters; momentum that is not given is zero."""
        self._call("setState", state)

    def get_state(self) -> Tensors:
        """The whole state, momentum included."""
        return self._fetch("getState")

    def step(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        lr: Sequence[float],
        head_lr: Sequence[float] | None = None,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
    ) -> Tensors:
        """Takes K steps in one call.

        Args:
            images: float32 [K, N, 3, S, S].
            labels: int64 [K, N].
            lr: K rates of the backbone; the head's are the same unless given.

        Returns:
            ``losses`` [K] and ``logits`` [K, N, C].
        """
        return self._fetch(
            "step",
            {"images": images, "labels": labels},
            lr=list(lr),
            headLr=list(head_lr or lr),
            momentum=momentum,
            weightDecay=weight_decay,
        )

    def epochs(
        self,
        data: Path,
        epochs: int,
        *,
        batch_size: int,
        seed: int,
        lr: float = 0.001,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        step_size: int = 1,
        gamma: float = 0.1,
    ) -> Tensors:
        """Trains on the class folders of ``data`` through the driver's own loader and epoch loop.

        Returns:
            ``losses`` [steps] and what each step saw, ``images.I`` [N, 3, S, S], ``labels.I`` [N].
        """
        settings = {
            "lr": lr,
            "momentum": momentum,
            "weightDecay": weight_decay,
            "stepSize": step_size,
            "gamma": gamma,
        }
        return self._fetch(
            "epochs",
            data=str(data),
            epochs=epochs,
            batchSize=batch_size,
            seed=seed,
            settings=settings,
        )

    def evaluate(
        self,
        arch: str,
        state: Mapping[str, torch.Tensor],
        images: torch.Tensor,
        threads: int = 0,
    ) -> torch.Tensor:
        """Logits [N, C] of the evaluation graph for images [N, 3, S, S]."""
        tensors = {**state, "images": images}
        artifacts = str(COMMITTED[arch])
        return self._fetch("evaluate", tensors, artifacts=artifacts, threads=threads)["logits"]

    def export(
        self, arch: str, state: Mapping[str, torch.Tensor], classes: Sequence[str], model: Path
    ) -> None:
        """Writes the inference model of a state to ``model``."""
        artifacts = str(COMMITTED[arch])
        self._call("export", state, artifacts=artifacts, classes=list(classes), model=str(model))

    def run_model(self, model: Path, images: torch.Tensor, threads: int = 0) -> torch.Tensor:
        """Logits [N, C] of an exported model."""
        return self._fetch("run", {"input": images}, model=str(model), threads=threads)["logits"]

    def preprocess(
        self,
        arch: str,
        images: Sequence[Path],
        mode: Literal["train", "evaluate"] = "evaluate",
        seed: int = 0,
        epoch: int = 0,
    ) -> Tensors:
        """What the loader makes of image files.

        Returns:
            ``pixels.I`` [3, S, S] of each image; with mode ``train`` also ``crop.I``: top, left,
            height, width and whether it is flipped.
        """
        return self._fetch(
            "preprocess",
            artifacts=str(COMMITTED[arch]),
            images=[str(path) for path in images],
            mode=mode,
            seed=seed,
            epoch=epoch,
        )

    def crops(self, width: int, height: int, draws: int, seed: int = 0) -> torch.Tensor:
        """Crops [draws, 4] (top, left, height, width) that the loader would draw."""
        artifacts = str(COMMITTED["resnet18"])
        sizes = {"width": width, "height": height, "draws": draws, "seed": seed}
        return self._fetch("crops", artifacts=artifacts, **sizes)["boxes"]

    def initial_state(self, arch: str, weights: str, classes: int, seed: int = 0) -> Tensors:
        """What training starts from, for ``--weights`` of the same value."""
        artifacts = str(COMMITTED[arch])
        job = {"artifacts": artifacts, "weights": weights, "classes": classes, "seed": seed}
        return self._fetch("initialState", **job)

    def find(self) -> dict[str, str | None]:
        """Paths of ``chromium`` and of ``swiftShader``'s description, null where there is none."""
        self._call("find")
        return self.answer

    def placements(self, arch: str, provider: str) -> dict[str, dict[str, int]]:
        """How often each operator of one training step ran, by the execution provider it ran on."""
        self._call("placements", artifacts=str(COMMITTED[arch]), provider=provider)
        found: dict[str, dict[str, int]] = self.answer["placements"]
        return found

    def browse(self, chromium: str, model: Path, images: torch.Tensor) -> torch.Tensor:
        """Logits [N, C] of an exported model in Chromium with onnxruntime-web's WASM.

        Afterwards ``answer`` has ``runtime``, its version, and ``userAgent``.
        """
        job = {"chromium": chromium, "model": str(model)}
        return self._fetch("browse", {"input": images}, **job)["logits"]

    def _fetch(
        self, kind: str, tensors: Mapping[str, torch.Tensor] | None = None, /, **job: object
    ) -> Tensors:
        self._call(kind, tensors, output=str(self._output), **job)
        found: Tensors = load_file(self._output)
        self._output.unlink()
        return found

    def _call(
        self, kind: str, tensors: Mapping[str, torch.Tensor] | None = None, /, **job: object
    ) -> None:
        if tensors is not None:
            # Copies: views of one storage cannot be saved.
            copies = {name: t.detach().clone().contiguous() for name, t in tensors.items()}
            save_file(copies, self._input)
            job["input"] = str(self._input)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"kind": kind, **job}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise BridgeError(f"expected an answer to {kind}, got none: the driver ended")
        self.answer = json.loads(answer)
        if "error" in self.answer:
            raise BridgeError(f"{kind}: {self.answer['error']}")
