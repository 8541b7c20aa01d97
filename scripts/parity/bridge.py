"""Calls the compiled TypeScript program from Python, with torch tensors; see bridge.mjs."""

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
    """A job failed in the Node process; the message is that of the error, with its stack."""


class Bridge:
    """A Node process with the compiled program, for a ``with`` block. It has at most one session.

    Args:
        environment: environment variables of the process, in addition to those of this process.

    Attributes:
        arch: the network of the open session.
        answer: the last answer of the process.
        folder: a temporary folder, removed at the end of the block.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        compile_typescript()
        self.arch = ""
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
        """Opens a training session on the artifacts of ``arch``; closes the previous session."""
        artifacts = str(COMMITTED[arch])
        self._call("open", artifacts=artifacts, classes=classes, provider=provider, threads=threads)
        self.arch = arch

    def set_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Sets parameters, statistics and counters; momentum that is missing becomes zero."""
        self._call("setState", state)

    def get_state(self) -> Tensors:
        """Returns the whole state, including momentum."""
        return self._fetch("getState")

    def step(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        lr: Sequence[float],
        *,
        masks: torch.Tensor | None = None,
        head_lr: Sequence[float] | None = None,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
    ) -> Tensors:
        """Takes K steps in one call.

        Args:
            images: float32 [K, N, 3, S, S].
            labels: int64 [K, N].
            lr: K learning rates of the backbone.
            masks: float32 [K, N, D]; None for a network without random layers.
            head_lr: K learning rates of the head; None for those of the backbone.

        Returns:
            ``losses`` [K] and ``logits`` [K, N, C].
        """
        return self._fetch(
            "step",
            {"images": images, "labels": labels, **({} if masks is None else {"masks": masks})},
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
        """Trains on the class folders of ``data`` with the program's own loader and epoch loop.

        Returns:
            ``losses`` [steps], and the batch of each step I: ``images.I`` [N, 3, S, S],
            ``labels.I`` [N] and, of a network with random layers, ``masks.I`` [N, D].
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
        """Returns logits [N, C] of the evaluation graph for images [N, 3, S, S]."""
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
        """Returns logits [N, C] of an exported model, run by onnxruntime-node."""
        return self._fetch("run", {"input": images}, model=str(model), threads=threads)["logits"]

    def preprocess(
        self,
        artifacts: Path,
        images: Sequence[Path],
        mode: Literal["train", "evaluate"] = "evaluate",
        *,
        seed: int = 0,
        epoch: int = 0,
    ) -> Tensors:
        """Reads image files with the loader, by the transforms of an artifact folder.

        Returns:
            ``pixels.I`` [3, S, S] of each image I. In mode ``train`` also ``crop.I``: top, left,
            height, width, and 1 if flipped.
        """
        return self._fetch(
            "preprocess",
            artifacts=str(artifacts),
            images=[str(path) for path in images],
            mode=mode,
            seed=seed,
            epoch=epoch,
        )

    def crops(self, width: int, height: int, draws: int, seed: int = 0) -> torch.Tensor:
        """Returns crops [draws, 4] (top, left, height, width) as the loader draws them."""
        artifacts = str(COMMITTED["resnet18"])
        sizes = {"width": width, "height": height, "draws": draws, "seed": seed}
        return self._fetch("crops", artifacts=artifacts, **sizes)["boxes"]

    def initial_state(self, arch: str, weights: str, classes: int, seed: int = 0) -> Tensors:
        """Returns the state that training starts from with ``--weights`` of the same value."""
        artifacts = str(COMMITTED[arch])
        job = {"artifacts": artifacts, "weights": weights, "classes": classes, "seed": seed}
        return self._fetch("initialState", **job)

    def find(self) -> dict[str, str | None]:
        """Returns the paths of ``chromium`` and ``swiftShader``'s description; None if missing."""
        self._call("find")
        return self.answer

    def placements(self, arch: str, provider: str) -> dict[str, dict[str, int]]:
        """Counts for each execution provider how often each operator ran in one training step."""
        self._call("placements", artifacts=str(COMMITTED[arch]), provider=provider)
        found: dict[str, dict[str, int]] = self.answer["placements"]
        return found

    def browse(self, chromium: str, model: Path, images: torch.Tensor) -> torch.Tensor:
        """Returns logits [N, C] of an exported model in Chromium with onnxruntime-web's WASM.

        Afterwards ``answer`` has ``runtime`` (the version of onnxruntime-web) and ``userAgent``.
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
            # Copy the tensors: safetensors cannot save views that share a storage.
            copies = {name: t.detach().clone().contiguous() for name, t in tensors.items()}
            save_file(copies, self._input)
            job["input"] = str(self._input)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"kind": kind, **job}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise BridgeError(f"expected an answer to {kind}, got none: the process ended")
        self.answer = json.loads(answer)
        if "error" in self.answer:
            raise BridgeError(f"{kind}: {self.answer['error']}")
